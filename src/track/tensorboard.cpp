// Event files as TensorBoard reads them: TFRecord framing around Event protobufs,
//   u64 length · u32 masked CRC-32C of the length · payload · u32 masked CRC-32C of the payload
//   Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5 }
//   Summary { repeated Value value = 1 }   Value { string tag = 1; float simple_value = 2 }

#include "knlp/track/tensorboard.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"
#include "knlp/core/hash.h"
#include "knlp/core/host.h"
#include "knlp/core/log.h"

#include <unistd.h>

#include <bit>
#include <cstring>
#include <optional>
#include <span>

namespace knlp::track {

namespace {

static_assert(std::endian::native == std::endian::little,
              "numbers are written as they lie in memory");

template <class T>
void put(std::string& out, T value) {
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    out.append(bytes, sizeof value);
}

void put_varint(std::string& out, uint64_t value) {
    for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>((value & 0x7F) | 0x80));
    out.push_back(static_cast<char>(value));
}

enum Wire : uint32_t { kVarint = 0, kDouble = 1, kBytes = 2, kFloat = 5 };

void put_key(std::string& out, uint32_t field, Wire wire) {
    put_varint(out, field << 3 | wire);
}

void put_bytes(std::string& out, uint32_t field, std::string_view bytes) {
    put_key(out, field, kBytes);
    put_varint(out, bytes.size());
    out += bytes;
}

std::string event_head(double wall_time) {
    std::string event;
    put_key(event, 1, kDouble);
    put(event, wall_time);
    return event;
}

uint32_t masked_crc(std::string_view bytes) {
    return std::rotr(crc32c(std::as_bytes(std::span(bytes))), 15) + 0xA282EAD8u;
}

std::string record(std::string_view payload) {
    std::string out;
    put(out, static_cast<uint64_t>(payload.size()));
    put(out, masked_crc(out));
    out += payload;
    put(out, masked_crc(payload));
    return out;
}

}  // namespace

struct TensorboardWriter::State {
    std::optional<AppendFile> file;  // empty once a write has failed

    void write(std::string_view event) {
        if (!file) return;
        try {
            file->append(record(event));
        } catch (const Error& error) {
            log::warn("TensorBoard events are no longer written: {}", error.what());
            file.reset();
        }
    }
};

TensorboardWriter::TensorboardWriter(const std::filesystem::path& directory) : state_(new State) {
    const double now = wall_seconds();
    // TensorBoard asks for the first words alone; the machine's name, which is usual, is not passed
    // on.
    const auto path = directory / fmt::format("events.out.tfevents.{}.knlp.{}.0",
                                              static_cast<int64_t>(now), getpid());
    try {
        state_->file.emplace(path);
    } catch (const Error& error) {
        log::warn("TensorBoard events are not written: {}", error.what());
        return;
    }
    std::string event = event_head(now);
    put_bytes(event, 3, "brain.Event:2");
    state_->write(event);
}

TensorboardWriter::~TensorboardWriter() = default;

void TensorboardWriter::add(int64_t step, double wall_time,
                            const std::map<std::string, double>& scalars) {
    std::string summary;
    for (const auto& [tag, scalar] : scalars) {
        std::string value;
        put_bytes(value, 1, tag);
        put_key(value, 2, kFloat);
        put(value, static_cast<float>(scalar));
        put_bytes(summary, 1, value);
    }
    std::string event = event_head(wall_time);
    put_key(event, 2, kVarint);
    put_varint(event, static_cast<uint64_t>(step));
    put_bytes(event, 5, summary);
    state_->write(event);
}

}  // namespace knlp::track
