// Models with int8 matmuls on the emulated GPU against the CPU engine's int8: what comes out.

#include <cstring>
#include <string>
#include <vector>

#include "tests/cuda_model.h"

namespace {

// The layer that stays in float in some tests, as an artifact may ask for.
const std::string kFloat = "layers.0.feed_forward.inner";

// The weights as libliteft hands them on: matrices of the encoder in int8, everything else in float32.
Stored handed_on(const Stored& given, bool mixed) {
  Stored out;
  for (const Stored::Weight& weight : given.weights) {
    const std::string name = weight.name.substr(0, weight.name.rfind('.'));
    const bool table = name.rfind("embeddings.", 0) == 0 && name != "embeddings.project";
    const bool in_float = table || (mixed && name == kFloat);
    if (in_float && weight.name == name + ".scale") continue;
    if (!in_float || weight.type != LITEFT_TYPE_INT8) {
      out.weights.push_back(weight);
      continue;
    }
    const Stored::Weight* scales = nullptr;
    for (const Stored::Weight& each : given.weights) {
      if (each.name == name + ".scale") scales = &each;
    }
    std::vector<float> values(weight.values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      float scale = 0.0f;
      const std::size_t place = table ? i / weight.columns : i % weight.columns;
      std::memcpy(&scale, scales->values.data() + place * sizeof(float), sizeof(float));
      values[i] = scale * static_cast<std::int8_t>(weight.values[i]);
    }
    out.add_floats(weight.name, weight.rows, weight.columns, values);
  }
  return out;
}

std::unique_ptr<AnyEngine> in_int8(const liteft_shape& shape, const Settings& settings, bool mixed = false) {
  const Stored stored = handed_on(random_weights(shape, true, 1), mixed);
  return create(shape, LITEFT_INT8, settings, &stored);
}

std::vector<float> by_cpu(const liteft_shape& shape, const Texts& texts, int precision, bool mixed = false) {
  Stored stored = random_weights(shape, true, 1);
  for (Stored::Weight& weight : stored.weights) {
    if (mixed && weight.name == kFloat + ".weight") weight.type |= LITEFT_FLOAT_PRODUCT;
  }
  const std::vector<liteft_weight> weights = stored.list();
  liteft_classifier* made = nullptr;
  EXPECT(liteft_create(&shape, weights.data(), static_cast<int>(weights.size()), precision, 1, "", &made) == 0);
  std::vector<float> logits(texts.logit_count(shape), NAN);
  const liteft_batch batch = texts.batch();
  EXPECT(liteft_run(made, &batch, logits.data()) == 0);
  liteft_destroy(made);
  return logits;
}

std::vector<liteft_shape> all_shapes() {
  std::vector<liteft_shape> shapes(std::begin(kShapes), std::end(kShapes));
  shapes.insert(shapes.end(), std::begin(kFusable), std::end(kFusable));
  return shapes;
}

// In whatever way the other steps are computed: products of int8 have one.
void logits_are_those_of_the_cpu() {
  std::mt19937 random(1);
  double worst = 0.0, worst_of_cpu = 0.0;
  for (const liteft_shape& shape : all_shapes()) {
    const Texts texts = random_texts(random, shape, 9, 40);
    const std::vector<float> expected = by_cpu(shape, texts, LITEFT_INT8);
    worst_of_cpu = std::fmax(worst_of_cpu, difference(expected, by_cpu(shape, texts, LITEFT_FP32)));
    for (const Policy policy : {Policy::measured, Policy::always, Policy::hopper, Policy::whole}) {
      Settings settings = small(96);
      settings.policy = policy;
      const auto engine = in_int8(shape, settings);
      const long products = emulator::kernels_run("MatmulBytes<"), chunks = emulator::kernels_run("Embedding<");
      const long whole = emulator::kernels_run("ShortModel<"), blocks = emulator::kernels_run("FeedForward<");
      const std::vector<float> found = run(*engine, texts, shape);
      worst = std::fmax(worst, difference(found, expected));
      EXPECT(difference(found, expected) < allowed(LITEFT_BF16));
      EXPECT(run(*engine, texts, shape) == found);
      const int of_a_chunk =
          4 * shape.layers + (shape.pooling == LITEFT_CLS ? 1 : 0) + (shape.embedding != shape.width ? 1 : 0);
      EXPECT(emulator::kernels_run("MatmulBytes<") - products ==
             of_a_chunk * (emulator::kernels_run("Embedding<") - chunks));
      EXPECT(emulator::kernels_run("ShortModel<") == whole && emulator::kernels_run("FeedForward<") == blocks);
    }
  }
  std::printf("worst difference from the CPU in int8: %.4f; of that from the CPU in float32: %.4f\n", worst,
              worst_of_cpu);
}

// A GPU without bf16 has int8 and fp16.
void a_gpu_of_the_seventh_generation_uses_fp16_beside_int8() {
  std::mt19937 random(2);
  const liteft_shape& shape = kShapes[0];
  const Texts texts = random_texts(random, shape, 5, 30);
  emulator::set_capability(75);
  const auto engine = in_int8(shape, small(64));
  const long halves = emulator::kernels_run("MatmulBytes<__half");
  EXPECT(difference(run(*engine, texts, shape), by_cpu(shape, texts, LITEFT_INT8)) < allowed(LITEFT_BF16));
  EXPECT(emulator::kernels_run("MatmulBytes<__half") > halves);
  emulator::set_capability(90);
}

// A layer may stay in float, and then has all ways that it has in a model without int8.
void single_matmuls_may_stay_in_float() {
  std::mt19937 random(3);
  for (const liteft_shape& shape : {kShapes[0], kFusable[0], kFusable[2]}) {
    const Texts texts = random_texts(random, shape, 6, 30);
    const std::vector<float> expected = by_cpu(shape, texts, LITEFT_INT8, true);
    for (const Policy policy : {Policy::measured, Policy::always, Policy::hopper, Policy::whole}) {
      Settings settings = small(96);
      settings.policy = policy;
      const auto engine = in_int8(shape, settings, true);
      EXPECT(difference(run(*engine, texts, shape), expected) < allowed(LITEFT_BF16));
    }
  }
}

// Without a head no matmul of cublasLt is left: a text's logits are the same to the bit whatever the others say, and
// those of a single token in any company. Attention over several tokens sums them as they lie in its tiles.
void alone_equals_in_company() {
  std::mt19937 random(4);
  for (const liteft_shape& shape : {kShapes[3], kShapes[5], kFusable[1], kFusable[3]}) {
    const auto engine = in_int8(shape, small(128)), large = in_int8(shape, small(1024));
    const Texts texts = random_texts(random, shape, 30, 30);
    const std::vector<float> together = run(*engine, texts, shape);
    EXPECT(difference(run(*large, texts, shape), together) < allowed(LITEFT_BF16) / 2);
    for (int text = 0; text < 30; text += 7) {
      Texts others = texts;
      for (int token = 0; token < others.offsets.back(); ++token) {
        if (token < others.offsets[text] || token >= others.offsets[text + 1])
          others.ids[token] = static_cast<int>(random() % shape.vocabulary);
      }
      const std::vector<float> mine = texts.logits_of(text, shape, together);
      EXPECT(texts.logits_of(text, shape, run(*engine, others, shape)) == mine);
      EXPECT(difference(run(*engine, texts.only(text), shape), mine) < allowed(LITEFT_BF16));
    }
    const Texts tokens = random_texts(random, shape, 300, 1);
    const std::vector<float> all = run(*engine, tokens, shape);
    EXPECT(run(*large, tokens, shape) == all);
    for (int text = 0; text < 300; text += 37)
      EXPECT(run(*engine, tokens.only(text), shape) == tokens.logits_of(text, shape, all));
  }
}

// An embedding that is not a number makes its text's logits so, and no other's.
void what_is_not_a_number_stays_where_it_is() {
  std::mt19937 random(5);
  const liteft_shape& shape = kShapes[3];
  constexpr int kBroken = 17;
  Stored stored = handed_on(random_weights(shape, true, 1), false);
  for (Stored::Weight& weight : stored.weights) {
    const float none = NAN;
    if (weight.name == "embeddings.word.weight")
      std::memcpy(weight.values.data() + (kBroken * weight.columns + 5) * sizeof(float), &none, sizeof(none));
  }
  const auto broken = create(shape, LITEFT_INT8, small(128), &stored), whole = in_int8(shape, small(128));
  Texts texts = random_texts(random, shape, 8, 12);
  for (std::int32_t& id : texts.ids) id = id == kBroken ? 0 : id;
  texts.ids[texts.offsets[3]] = kBroken;
  texts.key_mask[texts.offsets[3]] = 1;
  const std::vector<float> found = run(*broken, texts, shape), expected = run(*whole, texts, shape);
  for (int text = 0; text < 8; ++text) {
    const std::vector<float> mine = texts.logits_of(text, shape, found);
    if (text != 3) EXPECT(mine == texts.logits_of(text, shape, expected));
    for (const float logit : mine) EXPECT(std::isnan(logit) == (text == 3));
  }
}

// A matrix takes a byte a value, not two.
void weights_take_half_the_memory() {
  liteft_shape shape = kFusable[2];
  shape.layers = 3, shape.inner = 1536;
  std::size_t bytes[2] = {};
  for (const int int8 : {0, 1}) {
    const auto before = emulator::live().bytes;
    const auto engine = int8 ? in_int8(shape, small(64)) : create(shape, LITEFT_BF16, small(64));
    bytes[int8] = emulator::live().bytes - before;
  }
  const std::size_t matrices = static_cast<std::size_t>(shape.layers) * 12 * 384 * 384;
  EXPECT(bytes[1] + matrices * 9 / 10 < bytes[0]);
}

void no_result_leans_on_zeros() {
  std::mt19937 random(6);
  for (const liteft_shape& shape : {kShapes[0], kShapes[2], kShapes[5]}) {
    const Texts texts = random_texts(random, shape, 12, 20);
    const std::vector<float> expected = run(*in_int8(shape, small(64)), texts, shape);
    emulator::poison_instead_of_zeros(true);
    EXPECT(run(*in_int8(shape, small(64)), texts, shape) == expected);
    emulator::poison_instead_of_zeros(false);
  }
}

}  // namespace

int main() {
  std::setvbuf(stdout, nullptr, _IOLBF, 1 << 12);
  logits_are_those_of_the_cpu();
  a_gpu_of_the_seventh_generation_uses_fp16_beside_int8();
  single_matmuls_may_stay_in_float();
  alone_equals_in_company();
  what_is_not_a_number_stays_where_it_is();
  weights_take_half_the_memory();
  no_result_leans_on_zeros();
  return finish();
}
