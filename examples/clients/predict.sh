#!/bin/sh
# Classify with curl: one text, and several with a deadline.
#
#     sh examples/clients/predict.sh http://127.0.0.1:8080 "great film" "dull and too long"
#
# When the server is full (429) or loading (503), curl waits as long as its Retry-After says, and tries again. With a
# file of keys (--api-keys), put one into KEY. jq writes the texts as JSON, whatever is in them.
set -eu
url=$1
shift
ask() {
    curl --silent --show-error --fail-with-body --retry 5 --retry-connrefused --max-time 60 \
        --header 'Content-Type: application/json' --header "Authorization: Bearer ${KEY:-}" "$@"
    echo
}
ask "$url/readyz"
ask "$url/predict" --data "$(jq -n --arg text "$1" '{inputs: $text, top_k: 1}')"
ask "$url/predict" --header 'X-Request-Timeout-Ms: 2000' \
    --data "$(jq -n '{inputs: [$ARGS.positional[] | [.]], top_k: 1}' --args -- "$@")"
