#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

namespace knlp::track {

/// Writes a TensorBoard event file (TFRecord framing, masked CRC-32C, Event protobuf) into
/// `directory`. A failure to write warns once and stops the mirror, never the run.
class TensorboardWriter {
public:
    explicit TensorboardWriter(const std::filesystem::path& directory);
    ~TensorboardWriter();
    void add(int64_t step, double wall_time, const std::map<std::string, double>& scalars);
    void flush();

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace knlp::track
