#include "knlp/core/error.h"
#include "knlp/core/file.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

namespace knlp {

namespace {

/// zlib's inflate state, ended with its scope.
struct Inflater {
    Inflater() { KNLP_CHECK(inflateInit2(&stream, 15 + 16) == Z_OK); }  // 16: gzip framing only
    Inflater(const Inflater&) = delete;
    Inflater& operator=(const Inflater&) = delete;
    ~Inflater() { inflateEnd(&stream); }
    z_stream stream{};
};

constexpr size_t kStep = size_t{1} << 20;

/// Inflates one member of `in` from `position` onto `out`; returns the position after it.
size_t inflate_member(const MappedFile& file, size_t position, int64_t max_bytes,
                      std::string& out) {
    const std::span<const std::byte> in = file.bytes();
    Inflater inflater;
    z_stream& z = inflater.stream;
    for (;;) {
        const size_t chunk =
            std::min<size_t>(in.size() - position, std::numeric_limits<uInt>::max());
        z.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in.data() + position));
        z.avail_in = static_cast<uInt>(chunk);
        const size_t used = out.size();
        out.resize(used + kStep);
        z.next_out = reinterpret_cast<Bytef*>(out.data() + used);
        z.avail_out = static_cast<uInt>(kStep);
        const int result = inflate(&z, Z_NO_FLUSH);
        out.resize(used + (kStep - std::min<size_t>(z.avail_out, kStep)));
        position += chunk - z.avail_in;
        if (std::cmp_greater(out.size(), max_bytes))
            fail(kData, "{}: unpacks to more than {} bytes, which is the most accepted here",
                 file.path().string(), max_bytes);
        if (result == Z_STREAM_END) return position;
        if (result == Z_BUF_ERROR || (result == Z_OK && chunk == 0 && out.size() == used))
            fail(kData, "{}: gzip data end early at byte {}", file.path().string(), position);
        if (result != Z_OK)
            fail(kData, "{}: damaged gzip data near byte {}: {}", file.path().string(), position,
                 z.msg != nullptr ? z.msg : "no further reason");
    }
}

}  // namespace

std::string read_gzip(const std::filesystem::path& path, int64_t max_bytes) {
    const MappedFile file(path);
    const std::span<const std::byte> in = file.bytes();
    if (in.size() < 18 || in[0] != std::byte{0x1f} || in[1] != std::byte{0x8b})
        fail(kData, "{}: not a gzip file (no 1f 8b at the start)", path.string());
    std::string out;
    size_t position = 0;
    while (position < in.size()) {
        // Padding with zero bytes after the last member is usual on tapes and accepted by gzip
        // itself.
        if (position > 0 && std::all_of(in.begin() + static_cast<std::ptrdiff_t>(position),
                                        in.end(), [](std::byte b) { return b == std::byte{0}; }))
            break;
        position = inflate_member(file, position, max_bytes, out);
    }
    return out;
}

}  // namespace knlp
