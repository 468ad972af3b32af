#pragma once

// What every GPU source shares: launches are checked, take a stream, never allocate, never
// synchronise.

#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>

/// A launch that was refused is our own mistake (grid, shared memory): prints and aborts.
#define KNLP_GPU_CHECK(call)                                              \
    do {                                                                  \
        const cudaError_t error_ = (call);                                \
        if (error_ != cudaSuccess) {                                      \
            std::fprintf(stderr, "knlp: internal error: %s at %s:%d\n",   \
                         cudaGetErrorString(error_), __FILE__, __LINE__); \
            std::abort();                                                 \
        }                                                                 \
    } while (0)
