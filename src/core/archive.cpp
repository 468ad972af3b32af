#include "knlp/core/archive.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <string_view>

#include "knlp/core/error.h"
#include "knlp/core/file.h"

namespace knlp {
namespace {

constexpr size_t kBlock = 512;

/// Header of a member (POSIX.1-1988, ustar). Numbers are octal text.
struct Header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type;
    char link[100], magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155];
    char unused[12];
};
static_assert(sizeof(Header) == kBlock);

template <size_t n>
void put_octal(char (&field)[n], uint64_t value) {
    for (size_t i = n - 1; i-- > 0; value >>= 3) field[i] = static_cast<char>('0' + (value & 7));
    KNLP_CHECK(value == 0);
}

/// Sum of the header's bytes, its own field taken as blanks.
uint64_t checksum_of(Header header) {
    std::memset(header.checksum, ' ', sizeof header.checksum);
    uint64_t sum = 0;
    for (const unsigned char byte :
         std::string_view(reinterpret_cast<const char*>(&header), kBlock))
        sum += byte;
    return sum;
}

/// A name of more than 100 bytes is divided at a "/".
void put_name(Header& header, const std::string& name) {
    size_t cut = 0;
    if (name.size() > sizeof header.name) {
        cut = name.find('/', name.size() - sizeof header.name - 1);
        if (cut == std::string::npos || cut > sizeof header.prefix)
            fail(kUsage, "{}: this name is too long for an archive", name);
        name.copy(header.prefix, cut++);
    }
    name.copy(header.name, sizeof header.name, cut);
}

void append_member(const ArchiveFile& file, std::string& tar) {
    Header header{};
    put_name(header, file.name);
    put_octal(header.mode, 0644);
    put_octal(header.uid, 0);
    put_octal(header.gid, 0);
    put_octal(header.size, file.content.size());
    put_octal(header.mtime, 0);
    header.type = '0';
    std::memcpy(header.magic, "ustar", 6);
    std::memcpy(header.version, "00", 2);
    std::memset(header.checksum, ' ', sizeof header.checksum);
    char digits[7];
    put_octal(digits, checksum_of(header));
    digits[6] = '\0';
    std::memcpy(header.checksum, digits, sizeof digits);
    tar.append(reinterpret_cast<const char*>(&header), kBlock);
    tar += file.content;
    tar.append((kBlock - file.content.size() % kBlock) % kBlock, '\0');
}

std::string gzip(const std::string& text) {
    if (text.size() >= size_t{1} << 31)
        fail(kUsage, "{} bytes are too many for one archive", text.size());
    z_stream z{};
    // 16: gzip framing, whose default header has no time and no name.
    KNLP_CHECK(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) == Z_OK);
    std::string out(deflateBound(&z, text.size()), '\0');
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    z.avail_in = static_cast<uInt>(text.size());
    z.next_out = reinterpret_cast<Bytef*>(out.data());
    z.avail_out = static_cast<uInt>(out.size());
    const int result = deflate(&z, Z_FINISH);
    out.resize(z.total_out);
    deflateEnd(&z);
    KNLP_CHECK(result == Z_STREAM_END);
    return out;
}

template <size_t n>
std::string text_of(const char (&field)[n]) {
    return {field, strnlen(field, n)};
}

/// The octal number in a field; -1 for anything else.
template <size_t n>
int64_t octal_of(const char (&field)[n]) {
    int64_t value = 0;
    std::string digits = text_of(field);
    std::erase(digits, ' ');
    if (digits.empty() || digits.size() > 14) return -1;
    for (const char digit : digits) {
        if (digit < '0' || digit > '7') return -1;
        value = value * 8 + (digit - '0');
    }
    return value;
}

class Reader {
public:
    Reader(const std::string& tar, std::string where, const ArchiveLimits& limits)
        : tar_(tar), where_(std::move(where)), limits_(limits) {}

    std::vector<ArchiveFile> files() {
        std::vector<ArchiveFile> out;
        std::set<std::string> names;
        for (;;) {
            if (at_ + kBlock > tar_.size()) bad("ends within a header");
            Header header;
            std::memcpy(&header, tar_.data() + at_, kBlock);
            if (tar_.find_first_not_of('\0', at_) >= at_ + kBlock) return out;
            if (octal_of(header.checksum) != static_cast<int64_t>(checksum_of(header)))
                bad("has a header whose checksum is wrong");
            at_ += kBlock;
            if (std::ssize(out) >= limits_.files)
                bad(fmt::format("has more than {} files", limits_.files));
            if (header.type == '5') continue;
            ArchiveFile file = member(header);
            if (!names.insert(file.name).second) bad(fmt::format("has {} twice", file.name));
            out.push_back(std::move(file));
        }
    }

private:
    ArchiveFile member(const Header& header) {
        const std::string prefix = text_of(header.prefix);
        std::string name = (prefix.empty() ? "" : prefix + "/") + text_of(header.name);
        if (header.type != '0' && header.type != '\0')
            bad(fmt::format("has {}, which is no plain file", name));
        if (!is_inner_path(name))
            bad(fmt::format("has \"{}\", which would land outside of its folder", name));
        const int64_t size = octal_of(header.size);
        if (size < 0 || static_cast<uint64_t>(size) > tar_.size() - at_)
            bad(fmt::format("ends within {}", name));
        ArchiveFile file{.name = std::move(name),
                         .content = tar_.substr(at_, static_cast<size_t>(size))};
        const size_t blocks = (static_cast<size_t>(size) + kBlock - 1) / kBlock;
        at_ = std::min(tar_.size(), at_ + blocks * kBlock);
        return file;
    }
    [[noreturn]] void bad(const std::string& what) const {
        fail(kData, "{}: no archive that can be used: it {}", where_, what);
    }

    const std::string& tar_;
    std::string where_;
    ArchiveLimits limits_;
    size_t at_ = 0;
};

}  // namespace

bool is_inner_path(std::string_view name) {
    if (name.empty() || name.find('\0') != std::string_view::npos) return false;
    for (size_t begin = 0; begin <= name.size();) {
        const size_t end = std::min(name.find('/', begin), name.size());
        const std::string_view part = name.substr(begin, end - begin);
        if (part.empty() || part == "." || part == "..") return false;
        begin = end + 1;
    }
    return true;
}

std::string tar_gz(std::vector<ArchiveFile> files) {
    std::sort(files.begin(), files.end(),
              [](const ArchiveFile& a, const ArchiveFile& b) { return a.name < b.name; });
    std::string tar;
    for (size_t i = 0; i < files.size(); ++i) {
        if (!is_inner_path(files[i].name))
            fail(kUsage, "{}: no name for a file of an archive", files[i].name);
        if (i > 0 && files[i].name == files[i - 1].name)
            fail(kUsage, "{}: there twice in one archive", files[i].name);
        append_member(files[i], tar);
    }
    tar.append(2 * kBlock, '\0');
    return gzip(tar);
}

std::vector<ArchiveFile> read_tar_gz(const std::filesystem::path& archive,
                                     const ArchiveLimits& limits) {
    const std::string tar = read_gzip(archive, limits.bytes);
    return Reader(tar, archive.string(), limits).files();
}

}  // namespace knlp
