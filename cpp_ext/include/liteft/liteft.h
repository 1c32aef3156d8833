/* libliteft: classifiers of texts and of tokens, of the BERT family, run on real tokens only.

   Plain C, for any language. No function throws, aborts or keeps a pointer that it was given. A function that can fail
   returns 0 for success; after a failure liteft_last_error returns the reason, for the calling thread. A classifier may
   be run from many threads at once: short batches go ahead of long ones, no call ends later than if all ran at once
   with equal shares, and the logits are the same as in a single thread. */

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

/* Increased by one with every change that affects a caller compiled for an earlier version. */
#define LITEFT_ABI 2

/* Precision of the matmuls. On the CPU: fp32, bf16 and int8; on a GPU: bf16, fp16 and int8. */
enum { LITEFT_FP32 = 0, LITEFT_BF16 = 1, LITEFT_INT8 = 2, LITEFT_FP16 = 3 };
/* Pooling: the first token's row, the mean of a text's rows, or none, which gives each token logits of its own. */
enum { LITEFT_CLS = 0, LITEFT_MEAN = 1, LITEFT_NONE = 2 };
enum { LITEFT_HEAD_NONE = 0, LITEFT_HEAD_TANH = 1, LITEFT_HEAD_RELU = 2, LITEFT_HEAD_GELU = 3 };
/* Activation of the feed-forward block; LITEFT_GELU is the exact one, x Phi(x). */
enum { LITEFT_GELU = 0, LITEFT_RELU = 1, LITEFT_GELU_TANH = 2, LITEFT_SILU = 3 };
/* Type of stored weights. INT4 is for tables of an even width: byte j of a row has value j in its low half and value
   j + width / 2 in its high half, each stored as the value + 8. */
enum { LITEFT_TYPE_FLOAT32 = 0, LITEFT_TYPE_FLOAT16 = 1, LITEFT_TYPE_INT8 = 2, LITEFT_TYPE_INT4 = 3 };
/* Added to the type of a linear layer's weight: its matmul is computed in float32, whatever the precision of others. */
enum { LITEFT_FLOAT_PRODUCT = 16 };

typedef struct liteft_shape {
  int32_t layers, heads, width, inner;
  int32_t embedding; /* width of the embeddings; differs from width if a projection follows */
  int32_t vocabulary, positions, types, labels;
  int32_t pooling, head, activation; /* without pooling there is no head: LITEFT_HEAD_NONE */
  /* -1: a token's position is its place in the text. Otherwise the padding id p: a token other than p has position
     p + the number of such tokens up to and including it, and p has position p (RoBERTa). */
  int32_t position_padding_id;
  float epsilon;
} liteft_shape;

/* A weight with the name, type and shape that it has in the ONNX file. A linear layer N has N.weight (inputs, outputs)
   and N.bias (1, outputs), and N.scale (1, outputs) if N.weight is int8. A norm N has N.weight and N.bias (1, width). A
   table N has N.weight (rows, embedding), and N.scale (rows, 1) if it is int8 or int4. Biases, scales and norms are
   float32. engine/weight_layout.h lists all names and shapes. A weight that is missing or unknown is an error that
   names it. */
typedef struct liteft_weight {
  const char* name;
  const void* values;
  int32_t type;
  int32_t rows, columns; /* in values; a vector is one row */
} liteft_weight;

/* Texts packed one after the other, without padding. */
typedef struct liteft_batch {
  int32_t texts;
  const int32_t* ids;       /* (tokens,) of all texts */
  const int32_t* types;     /* (tokens,) or NULL: all 0 */
  const int32_t* positions; /* (tokens,) or NULL: as position_padding_id says */
  const int32_t* offsets;   /* (texts + 1,): where each text begins, and where the last one ends */
  const uint8_t* key_mask;  /* (tokens,) or NULL: all 1; 0 for a token that no query attends to */
} liteft_batch;

/* Texts padded to a rectangle (texts, tokens), as ONNX models take them. Tokens whose mask is 0 are not computed,
   wherever they are in the row; the other tokens keep their positions. If column 0 is hidden itself, a model that pools
   it (LITEFT_CLS) still computes it, and it attends to the others. */
typedef struct liteft_padded {
  int32_t texts, tokens;
  const int64_t* ids;
  const int64_t* mask;
  const int64_t* types; /* or NULL: all 0 */
} liteft_padded;

typedef struct liteft_classifier liteft_classifier;

LITEFT_API int32_t liteft_abi(void);
LITEFT_API const char* liteft_version(void);
LITEFT_API const char* liteft_last_error(void);
/* The best instruction set of this machine: "avx512", "portable", ... */
LITEFT_API const char* liteft_instructions(void);
/* Operations per second (a multiplication and an addition count as two) that `threads` threads reach in a loop of only
   a matmul's inner instructions on the same few values: the limit of this machine. 0 if the precision is not supported.
   The call takes about a tenth of a second. */
LITEFT_API double liteft_peak(int32_t precision, int32_t threads, const char* instructions);
/* Creates a classifier. `threads` includes the thread that calls liteft_run; `instructions` is NULL or "" for the best
   instruction set of this machine. */
LITEFT_API int liteft_create(const liteft_shape* shape, const liteft_weight* weights, int32_t count, int32_t precision,
                             int32_t threads, const char* instructions, liteft_classifier** created);
/* Creates a classifier on GPU number `device` with libliteft_cuda, which is in the same folder as this library and is
   opened by this call; CUDA is not used before. `precision` is LITEFT_BF16 or LITEFT_FP16; weights may have any type.
   Or it is LITEFT_INT8, where all matrices of the encoder must be int8, as on the CPU, and stay so on the GPU: what is
   no product with them is computed in bf16, or in fp16 before compute capability 8.0. `slots`, 1 to 64, is how many
   calls may compute at once, each in memory of its own that is taken now; more calls wait. 0 is the number in the
   environment variable LITEFT_CUDA_SLOTS or, without it, 2, or 1 if there is no memory for 2. `cublas` names folders,
   joined by colons, in which libcublasLt is searched for before the system's own; `cache` is a folder in which the
   fastest algorithm of each matmul is kept for the next time. Both may be NULL. A classifier created before a fork
   cannot run in the child. */
LITEFT_API int liteft_create_cuda(const liteft_shape* shape, const liteft_weight* weights, int32_t count,
                                  int32_t precision, int32_t device, int32_t slots, const char* cublas,
                                  const char* cache, liteft_classifier** created);
/* Describes GPU number `device` and the versions of driver and cublasLt in a text of at most `size` bytes. Fails, with
   the reason, if liteft_create_cuda would fail for every model. */
LITEFT_API int liteft_cuda_device(int32_t device, const char* cublas, char* text, int32_t size);
/* Computes the logits, (texts, labels), of packed texts, or of a padded rectangle. Without pooling (LITEFT_NONE) they
   are (tokens, labels) of packed texts, in the order of the ids and also for tokens whose key_mask is 0, and (texts,
   tokens, labels) of a rectangle, with zeros where the mask is 0. */
LITEFT_API int liteft_run(liteft_classifier* classifier, const liteft_batch* batch, float* logits);
LITEFT_API int liteft_run_padded(liteft_classifier* classifier, const liteft_padded* batch, float* logits);
/* Every classifier must be destroyed before the library is unloaded. A classifier created before a fork cannot run in
   the child unless it has a single thread; destroying it there does nothing. */
LITEFT_API void liteft_destroy(liteft_classifier* classifier);
/* The number of successful calls since the classifier was created, and of token rows that went through its layers. */
LITEFT_API void liteft_counters(const liteft_classifier* classifier, uint64_t* calls, uint64_t* rows);
/* Counters of the operator for ONNX Runtime (RegisterCustomOps) in the whole process: the kernels that exist now, and
   the calls and rows that all kernels have computed, including destroyed ones. Each pointer may be NULL. */
LITEFT_API void liteft_operator_counters(uint64_t* kernels, uint64_t* calls, uint64_t* rows);

#ifdef __cplusplus
}
#endif
#endif
