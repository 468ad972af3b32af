// The one precompiled header, for objects listed in torch-y only (see docs/architecture.md). It is the
// main file when it is compiled, where #pragma once would be a warning; the guards are in what it includes.
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
