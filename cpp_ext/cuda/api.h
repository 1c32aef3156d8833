/* What libliteft asks of libliteft_cuda, which it opens at run time. No user calls it: the two are built and installed
   together, and liteft_cuda_abi says whether they are. Batches have been checked, and weights are float32 (libliteft
   converts them), but for the encoder's matrices where `precision` is LITEFT_INT8. */

#ifndef LITEFT_CUDA_API_H
#define LITEFT_CUDA_API_H

#include "liteft/liteft.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LITEFT_CUDA_ABI 3

typedef struct liteft_cuda liteft_cuda;

LITEFT_API int32_t liteft_cuda_abi(void);
LITEFT_API const char* liteft_cuda_last_error(void);
/* Starts CUDA. `precision` is LITEFT_BF16, LITEFT_FP16 or LITEFT_INT8. `folders`, joined by colons, are looked through
   for cublasLt; `cache` is a folder for the algorithms of matmuls, or "". `slots` is as in liteft_create_cuda. */
LITEFT_API int liteft_cuda_create(const liteft_shape* shape, const liteft_weight* weights, int32_t count,
                                  int32_t precision, int32_t device, int32_t slots, const char* folders,
                                  const char* cache, liteft_cuda** created);
/* positions must be given; types and key_mask may be NULL. */
LITEFT_API int liteft_cuda_run(liteft_cuda* classifier, const liteft_batch* batch, float* logits);
/* For benchmarks: milliseconds that the GPU takes for a batch once it is there, on average over `runs` of each of its
   chunks, one after the other. Copies are not in it, nor is what the host does between chunks. */
LITEFT_API int liteft_cuda_time(liteft_cuda* classifier, const liteft_batch* batch, int32_t runs, double* milliseconds);
/* The same of a pass: all chunks of all batches once, one after the other, between two events. What the launches leave
   idle is in it, and so are copies of ids from one place on the GPU to another: the clock for comparisons with engines
   that are timed over a pass. */
LITEFT_API int liteft_cuda_time_pass(liteft_cuda* classifier, const liteft_batch* batches, int32_t count,
                                     double* milliseconds);
LITEFT_API void liteft_cuda_destroy(liteft_cuda* classifier);
/* 0 in a forked child that inherited the classifier: it can neither run nor be destroyed there. */
LITEFT_API int liteft_cuda_is_whole(const liteft_cuda* classifier);
/* The GPU's name and compute capability, versions of driver and cublasLt: one line of at most `size` bytes. Starts
 * CUDA. */
LITEFT_API int liteft_cuda_describe(int32_t device, const char* folders, char* text, int32_t size);

#ifdef __cplusplus
}
#endif
#endif
