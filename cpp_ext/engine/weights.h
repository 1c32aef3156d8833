// From weights as they are stored to a model as the engine runs it.

#pragma once

#include "engine/model.h"
#include "liteft/liteft.h"

namespace liteft {

// Throws std::invalid_argument, naming the number or the weight, where something is missing or does not fit.
Model build(const liteft_shape& shape, const liteft_weight* weights, int count, Precision precision,
            const Kernels& kernels);

}  // namespace liteft
