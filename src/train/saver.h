#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>

namespace knlp::train {

/// Writes checkpoints in a thread of its own, one at a time.
class Saver {
public:
    Saver();
    ~Saver();  // waits for the one under way
    Saver(const Saver&) = delete;
    Saver& operator=(const Saver&) = delete;

    struct Outcome {
        int64_t step = 0;
        std::exception_ptr error;  // null: the checkpoint is on the disk
        double seconds = 0;        // that writing it took
    };
    /// Begins `work`, which saves step `step`. The one before must have been collected.
    void start(int64_t step, std::function<void()> work);
    bool busy() const;  // something is under way or waits to be collected
    /// What became of it, once; with `wait` after waiting for it.
    std::optional<Outcome> collect(bool wait);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace knlp::train
