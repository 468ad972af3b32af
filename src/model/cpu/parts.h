#pragma once

#include <cstddef>
#include <cstdint>

namespace knlp::model {

/// Threads of a parallel region: LibTorch's number, since both share one pool.
int64_t part_count();

using PartWork = void (*)(void* context, int64_t part);
void run_parts(int64_t parts, PartWork work, void* context);

/// work(part) for part = 0 .. parts - 1, each once, on the threads of the team; part 0 runs on the
/// caller. Parts must not wait for each other, nor throw.
template <class Work>
void run_parts(int64_t parts, const Work& work) {
    run_parts(
        parts, [](void* context, int64_t part) { (*static_cast<const Work*>(context))(part); },
        const_cast<Work*>(&work));
}

/// Scratch memory of one part, at least `bytes` long, 64-byte aligned; valid until the next call
/// with more. Reserve outside of regions, fetch inside.
void reserve_scratch(int64_t parts, int64_t bytes);
std::byte* scratch_of(int64_t part);

/// First item of part `part` when `count` items go to `parts` parts in whole units.
inline int64_t share(int64_t count, int64_t unit, int64_t part, int64_t parts) {
    return count / unit * part / parts * unit + (part == parts ? count % unit : 0);
}

}  // namespace knlp::model
