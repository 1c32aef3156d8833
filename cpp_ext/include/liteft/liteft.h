/* libliteft: text classifiers of the BERT family, run on their real tokens only.

   Plain C, for any language. No function throws, aborts or keeps a pointer that it was given, and each that can fail
   returns 0 for success; liteft_last_error then says what was wrong, in the calling thread. A classifier may be run
   from many threads at once. */

#ifndef LITEFT_LITEFT_H
#define LITEFT_LITEFT_H

#include <stdint.h>

#if defined(_WIN32)
#define LITEFT_API __declspec(dllexport)
#else
#define LITEFT_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Grows by one with every change that a caller compiled for the version before could notice. */
#define LITEFT_ABI 1

enum { LITEFT_FP32 = 0, LITEFT_BF16 = 1, LITEFT_INT8 = 2 };                    /* precision of the products */
enum { LITEFT_CLS = 0, LITEFT_MEAN = 1 };                                       /* pooling */
enum { LITEFT_HEAD_NONE = 0, LITEFT_HEAD_TANH = 1, LITEFT_HEAD_RELU = 2, LITEFT_HEAD_GELU = 3 };
enum { LITEFT_GELU = 0, LITEFT_RELU = 1 };                                      /* of the feed-forward block; GELU is the exact one */
enum { LITEFT_TYPE_FLOAT32 = 0, LITEFT_TYPE_FLOAT16 = 1, LITEFT_TYPE_INT8 = 2 }; /* of stored weights */

typedef struct liteft_shape {
  int32_t layers, heads, width, inner;
  int32_t embedding; /* width of the embeddings; differs from width where a projection follows */
  int32_t vocabulary, positions, types, labels;
  int32_t pooling, head, activation;
  float epsilon;
} liteft_shape;

/* A weight by name; int8 has a scale a row. A linear layer N has N.weight (outputs, inputs) and N.bias (1, outputs), a
   norm N has N.weight and N.bias (1, width). Tables, shape (rows, embedding): embeddings.word.weight,
   embeddings.position.weight, and embeddings.type.weight where types > 0. Norms: embeddings.norm and, for each layer
   L from 0, layers.L.attention.norm and layers.L.feed_forward.norm. Linear: embeddings.project where embedding differs
   from width; layers.L.attention.query, .key, .value, .output; layers.L.feed_forward.inner, .outer; head.dense where
   there is a head; classifier. */
typedef struct liteft_weight {
  const char* name;
  const void* values;
  const float* scales; /* int8: one a row; else NULL */
  int32_t type;
  int32_t rows, columns; /* a vector is one row */
} liteft_weight;

typedef struct liteft_batch {
  int32_t texts;
  const int32_t* ids;       /* (tokens,) of all texts, one after the other */
  const int32_t* types;     /* (tokens,) or NULL: all 0 */
  const int32_t* positions; /* (tokens,) or NULL: 0, 1, ... in each text */
  const int32_t* offsets;   /* (texts + 1,): where each text begins, and where the last one ends */
  const uint8_t* attended;  /* (tokens,) or NULL: all; 0 for a token that asks and is not asked */
} liteft_batch;

typedef struct liteft_classifier liteft_classifier;

LITEFT_API int32_t liteft_abi(void);
LITEFT_API const char* liteft_version(void);
LITEFT_API const char* liteft_last_error(void);
/* The best instruction set of this machine: "avx512", "portable", ... */
LITEFT_API const char* liteft_instructions(void);
LITEFT_API int liteft_create(const liteft_shape* shape, const liteft_weight* weights, int32_t count,
                             int32_t precision, int32_t threads, const char* instructions,
                             liteft_classifier** created);
LITEFT_API int liteft_run(liteft_classifier* classifier, const liteft_batch* batch, float* logits);
LITEFT_API void liteft_destroy(liteft_classifier* classifier);
/* Since its creation: calls of run, and rows that went through the layers. */
LITEFT_API void liteft_counters(const liteft_classifier* classifier, uint64_t* calls, uint64_t* rows);

#ifdef __cplusplus
}
#endif
#endif
