// Precompiled for objects listed in torch-y only (see docs/architecture.md). It is the main file when it
// is compiled, where #pragma once would be a warning; the guards are in what it includes. Each header here
// costs every such object time: templates that its inline functions use are made anew in each.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
