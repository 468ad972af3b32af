#pragma once

// The one precompiled header, for objects listed in torch-y only (see docs/architecture.md).
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
