#pragma once

// Stands before LibTorch's own, which every operator's header includes for nothing that is used
// here. That one brings ATen/core/IListRef.h, whose templates each object would make anew: half a
// second. Who calls an operator that takes a list of tensors includes it.
#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/ScalarType.h>
