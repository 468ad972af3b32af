#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

namespace knlp::track {

/// Writes a TensorBoard event file (TFRecord framing, masked CRC-32C, Event protobuf) into
/// `directory`. Each call of add() is in the file when it returns, so that a kill loses none of
/// what metrics.jsonl has. A failure to write warns once and stops the mirror, never the run.
class TensorboardWriter {
public:
    explicit TensorboardWriter(const std::filesystem::path& directory);
    ~TensorboardWriter();
    void add(int64_t step, double wall_time, const std::map<std::string, double>& scalars);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace knlp::track
