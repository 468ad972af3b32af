#pragma once

#include "product.h"

#include "knlp/core/profile.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace knlp::model {

/// What a range step does of its range, on which thread, with which scratch memory.
struct Piece {
    int64_t first = 0, last = 0;
    int64_t part = 0;
    std::byte* scratch = nullptr;
};

/// Where the time of a step is booked.
struct Label {
    profile::Group group = profile::Group::kOther;
    const char* name = nullptr;
    double flops = 0, bytes = 0;
};

/// Steps that follow each other, and how the threads share them.
enum class Sharing {
    /// All steps in one parallel region, every thread going through them with its own sequences
    /// and never waiting: what a thread reads, it wrote, and it is still in its cache. For steps
    /// whose rows depend on no other sequence, and products by our own kernels.
    kSequences,
    /// One parallel region a step: its threads share one product and wait for each other.
    kSteps,
    /// All steps in one region, each shared by all threads: for steps that need nothing of each
    /// other.
    kIndependent,
};

/// A list of steps. Whatever the sharing, a step's numbers depend on how many parts there are and
/// on nothing else.
class Chain {
public:
    /// `sequences` sequences of rows in every step; `parts` threads.
    Chain(Sharing sharing, int64_t sequences, int64_t parts)
        : sharing_(sharing), sequences_(sequences), parts_(parts) {}
    ~Chain() noexcept(false);  // runs what is left, for whose scratch memory may run out
    Chain(const Chain&) = delete;
    Chain& operator=(const Chain&) = delete;

    void product(Place place, const char* name, const kernels::GemmArgs& args);
    /// work on 0 .. count - 1, which parts get in whole units; every part is called once.
    /// kSequences cuts between sequences instead. What `work` refers to must live until run().
    using Work = std::function<void(const Piece&)>;
    void range(const Label& label, int64_t count, int64_t unit, Work work,
               int64_t scratch_bytes = 0);
    /// Does what has not been done yet; called by the destructor too.
    void run();

private:
    struct Step {
        Label label;
        int64_t count = 0, unit = 1;
        Work work;  // empty: the product
        Place place;
        kernels::GemmArgs args;
    };
    void add(Step step, int64_t scratch_bytes);
    void do_part(const Step& step, int64_t part) const;

    Sharing sharing_;
    int64_t sequences_, parts_, scratch_bytes_ = 0;
    std::vector<Step> steps_;
};

}  // namespace knlp::model
