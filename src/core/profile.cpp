#include "knlp/core/profile.h"

#include "knlp/core/error.h"
#include "knlp/core/host.h"

#include <memory>

namespace knlp::profile {

struct Recorder {
    std::vector<Node> nodes;
    size_t current = 0;   // node that the running time belongs to
    double began = 0;     // of the recording
    double switched = 0;  // when `current` last changed
};

constinit thread_local Recorder* active = nullptr;

namespace {

/// Owns what `active` points to. A thread that ends with its books open frees them.
thread_local std::unique_ptr<Recorder> books;

/// Books the time since the last change of region to the one that is left now.
void book(Recorder& recorder) {
    const double now = steady_seconds();
    recorder.nodes[recorder.current].own.seconds += now - recorder.switched;
    recorder.switched = now;
}

/// The node below the current one for this mark, made when it is met for the first time. A step
/// has a few dozen nodes, later ones of a parent last: a plain search costs less than hashing.
size_t child_of(Recorder& recorder, Group group, const char* name) {
    const auto parent = static_cast<int64_t>(recorder.current);
    for (size_t i = recorder.current + 1; i < recorder.nodes.size(); ++i) {
        const Node& node = recorder.nodes[i];
        if (node.parent == parent && node.group == group && node.name == name) return i;
    }
    recorder.nodes.push_back({.group = group, .name = name, .parent = parent, .own = {}});
    return recorder.nodes.size() - 1;
}

}  // namespace

const char* name_of(Group group) {
    static constexpr std::array<const char*, kGroups> kNames = {
        "linear_forward", "linear_input", "linear_weight", "attention", "norm", "activation",
        "embedding",      "head",         "optimizer",     "data",      "other"};
    return kNames[static_cast<size_t>(group)];
}

void start() {
    books = std::make_unique<Recorder>();
    books->nodes.reserve(256);
    books->nodes.push_back(
        {.group = Group::kOther, .name = name_of(Group::kOther), .parent = -1, .own = {}});
    books->began = books->switched = steady_seconds();
    active = books.get();
}

Totals stop() {
    KNLP_CHECK(active != nullptr && active->current == 0);
    book(*active);
    Totals totals;
    totals.seconds = active->switched - active->began;
    totals.nodes = std::move(active->nodes);
    active = nullptr;
    books.reset();
    for (const Node& node : totals.nodes) {
        Counts& sum = totals.groups[static_cast<size_t>(node.group)];
        sum.seconds += node.own.seconds;
        sum.calls += node.own.calls;
        sum.flops += node.own.flops;
        sum.bytes += node.own.bytes;
    }
    return totals;
}

void enter(Group group, double flops, double bytes, const char* name) {
    Recorder& recorder = *active;
    book(recorder);
    recorder.current = child_of(recorder, group, name != nullptr ? name : name_of(group));
    Counts& own = recorder.nodes[recorder.current].own;
    ++own.calls;
    own.flops += flops;
    own.bytes += bytes;
}

void leave() {
    KNLP_CHECK(active != nullptr && active->current != 0);
    book(*active);
    active->current = static_cast<size_t>(active->nodes[active->current].parent);
}

}  // namespace knlp::profile
