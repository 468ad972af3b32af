#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

/// Where the time of a step goes. Code that does the work marks its regions:
///
///     const profile::Scope scope(profile::Group::kAttention, flops, bytes, "attention");
///
/// Off (the normal case) a mark costs one predictable branch. On, the thread that called start()
/// books time exclusively: an inner region's time is taken off the region around it, what no region
/// covers is kOther, so the groups add up to the time between start() and stop(). Marks on other
/// threads do nothing: their work is inside a region of the thread that waits for them.
namespace knlp::profile {

enum class Group {
    kLinearForward,
    kLinearInput,   // backward of a linear layer: gradient of its input
    kLinearWeight,  // backward of a linear layer: gradient of weight and bias
    kAttention,     // forward and backward, without the linear layers around it
    kNorm,          // layer norm and the residual additions done with it, forward and backward
    kActivation,    // what is not fused into a product
    kEmbedding,
    kHead,  // output layer and loss, forward and backward
    kOptimizer,
    kData,
    kOther,
};
constexpr int64_t kGroups = 11;

/// "linear_forward", "linear_input", ...
const char* name_of(Group group);

struct Counts {
    double seconds = 0;  // exclusive
    int64_t calls = 0;
    double flops = 0;
    double bytes = 0;  // that must move: inputs read once and outputs written once
};

/// One region at one place in the nesting; nodes[0] is the whole.
struct Node {
    Group group = Group::kOther;
    const char* name = "";  // label of the mark, or the group's name
    int64_t parent = -1;    // always less than its own index
    Counts own;
};

struct Totals {
    double seconds = 0;  // from start() to stop()
    std::array<Counts, kGroups> groups;
    std::vector<Node> nodes;

    const Counts& of(Group group) const { return groups[static_cast<size_t>(group)]; }
};

/// Begins to book the calling thread's time; what an earlier start() booked is dropped.
void start();
/// Ends it, on the same thread, outside every Scope.
Totals stop();

struct Recorder;
/// The calling thread's books, null when it keeps none.
extern constinit thread_local Recorder* active;

void enter(Group group, double flops, double bytes, const char* name);
void leave();

class Scope {
public:
    /// flops and bytes of everything inside that no inner scope counts; `name` (a string that
    /// lives as long as the program) tells regions of one group apart in the flame graph.
    explicit Scope(Group group, double flops = 0, double bytes = 0, const char* name = nullptr)
        : entered_(active != nullptr) {
        if (entered_) [[unlikely]]
            enter(group, flops, bytes, name);
    }
    ~Scope() {
        if (entered_) [[unlikely]]
            leave();
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

private:
    const bool entered_;
};

}  // namespace knlp::profile
