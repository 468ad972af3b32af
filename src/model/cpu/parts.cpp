#include "parts.h"

#include "buffer.h"

#include <ATen/Parallel.h>

#include <omp.h>

#include <vector>

namespace knlp::model {

namespace {

// Never destroyed: a thread may outlive the statics of main.
std::vector<Buffer>& scratch() {
    static auto& buffers = *new std::vector<Buffer>();
    return buffers;
}

}  // namespace

int64_t part_count() {
    return at::get_num_threads();
}

void run_parts(int64_t parts, PartWork work, void* context) {
    if (parts <= 1) {
        if (parts == 1) work(context, 0);
        return;
    }
#pragma omp parallel num_threads(static_cast <int>(parts))
    // The runtime may give fewer threads than asked for; every part is done all the same.
    for (int64_t part = omp_get_thread_num(); part < parts; part += omp_get_num_threads())
        work(context, part);
}

void reserve_scratch(int64_t parts, int64_t bytes) {
    std::vector<Buffer>& buffers = scratch();
    if (std::ssize(buffers) < parts) buffers.resize(static_cast<size_t>(parts));
    for (Buffer& buffer : buffers) buffer.reserve(bytes);
}

std::byte* scratch_of(int64_t part) {
    return scratch()[static_cast<size_t>(part)].data();
}

}  // namespace knlp::model
