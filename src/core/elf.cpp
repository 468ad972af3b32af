#include "knlp/core/elf.h"

#include "knlp/core/error.h"
#include "knlp/core/file.h"

#include <elf.h>
#include <link.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <set>

namespace knlp {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSystemDirectories[] = {"/lib/x86_64-linux-gnu",
                                              "/usr/lib/x86_64-linux-gnu",
                                              "/lib64",
                                              "/usr/lib64",
                                              "/lib",
                                              "/usr/lib",
                                              "/usr/local/lib",
                                              "/usr/local/cuda/lib64"};

/// A structure at a byte offset; the file is not trusted.
template <class T>
T read_at(std::span<const std::byte> bytes, uint64_t offset, const fs::path& path) {
    if (offset > bytes.size() || bytes.size() - offset < sizeof(T))
        fail(kData, "{}: the ELF file ends at byte {}, a record at {} needs more", path.string(),
             bytes.size(), offset);
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
    return value;
}

std::vector<Elf64_Phdr> program_headers(std::span<const std::byte> bytes, const fs::path& path) {
    const auto header = read_at<Elf64_Ehdr>(bytes, 0, path);
    if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
        header.e_phentsize != sizeof(Elf64_Phdr))
        fail(kData, "{}: not a 64-bit little-endian ELF file", path.string());
    std::vector<Elf64_Phdr> headers;
    for (uint64_t i = 0; i < header.e_phnum; ++i)
        headers.push_back(
            read_at<Elf64_Phdr>(bytes, header.e_phoff + i * sizeof(Elf64_Phdr), path));
    return headers;
}

/// File offset of a virtual address.
uint64_t offset_of(uint64_t address, const std::vector<Elf64_Phdr>& headers, const fs::path& path) {
    for (const Elf64_Phdr& h : headers)
        if (h.p_type == PT_LOAD && address >= h.p_vaddr && address - h.p_vaddr < h.p_filesz)
            return h.p_offset + (address - h.p_vaddr);
    fail(kData, "{}: ELF address {:#x} lies in no segment", path.string(), address);
}

std::string text_at(std::span<const std::byte> bytes, uint64_t offset, const fs::path& path) {
    if (offset >= bytes.size())
        fail(kData, "{}: ELF string at {} is outside the file", path.string(), offset);
    const char* begin = reinterpret_cast<const char*>(bytes.data()) + offset;
    return std::string(begin, ::strnlen(begin, bytes.size() - offset));
}

std::vector<fs::path> search_paths(std::string text, const fs::path& library) {
    std::vector<fs::path> paths;
    text += ':';
    for (size_t colon; (colon = text.find(':')) != std::string::npos; text.erase(0, colon + 1)) {
        std::string one = text.substr(0, colon);
        if (one.empty()) continue;
        for (const std::string_view token : {"${ORIGIN}", "$ORIGIN"})
            if (const size_t at = one.find(token); at != std::string::npos)
                one.replace(at, token.size(), library.parent_path().string());
        paths.emplace_back(one);
    }
    return paths;
}

bool in_system(const std::string& name) {
    return std::any_of(std::begin(kSystemDirectories), std::end(kSystemDirectories),
                       [&](const char* directory) {
                           std::error_code error;
                           return fs::exists(fs::path(directory) / name, error);
                       });
}

}  // namespace

ElfNeeds read_elf_needs(const fs::path& library) {
    const MappedFile file(library);
    const std::span<const std::byte> bytes = file.bytes();
    const std::vector<Elf64_Phdr> headers = program_headers(bytes, library);
    ElfNeeds needs;
    for (const Elf64_Phdr& h : headers) {
        if (h.p_type != PT_DYNAMIC) continue;
        std::vector<Elf64_Dyn> entries;
        for (uint64_t at = 0; at + sizeof(Elf64_Dyn) <= h.p_filesz; at += sizeof(Elf64_Dyn))
            entries.push_back(read_at<Elf64_Dyn>(bytes, h.p_offset + at, library));
        const auto strings =
            std::find_if(entries.begin(), entries.end(),
                         [](const Elf64_Dyn& entry) { return entry.d_tag == DT_STRTAB; });
        if (strings == entries.end()) continue;
        const uint64_t base = offset_of(strings->d_un.d_ptr, headers, library);
        for (const Elf64_Dyn& entry : entries) {
            if (entry.d_tag == DT_NEEDED)
                needs.needed.push_back(text_at(bytes, base + entry.d_un.d_val, library));
            if (entry.d_tag == DT_RUNPATH || entry.d_tag == DT_RPATH)
                needs.search =
                    search_paths(text_at(bytes, base + entry.d_un.d_val, library), library);
        }
    }
    return needs;
}

namespace {

/// Its build id as the loader has mapped the notes of a segment; "" when it is not among them.
std::string build_id_in(std::span<const std::byte> notes, uint64_t alignment) {
    const auto padded = [&](uint64_t bytes) {
        return (bytes + alignment - 1) / alignment * alignment;
    };
    while (notes.size() >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr note;
        std::memcpy(&note, notes.data(), sizeof note);
        const uint64_t content = padded(sizeof note + note.n_namesz);
        if (content > notes.size() || notes.size() - content < note.n_descsz) break;
        const bool gnu =
            note.n_namesz == sizeof ELF_NOTE_GNU &&
            std::memcmp(notes.data() + sizeof note, ELF_NOTE_GNU, sizeof ELF_NOTE_GNU) == 0;
        if (gnu && note.n_type == NT_GNU_BUILD_ID) {
            std::string id;
            for (const std::byte b : notes.subspan(content, note.n_descsz))
                id += fmt::format("{:02x}", std::to_integer<unsigned>(b));
            return id;
        }
        notes = notes.subspan(std::min<uint64_t>(notes.size(), padded(content + note.n_descsz)));
    }
    return "";
}

}  // namespace

std::string own_build_id() {
    std::string id;
    // The first object is the program; the others are libraries.
    const auto look = [](dl_phdr_info* object, size_t, void* out) {
        for (uint16_t i = 0; i < object->dlpi_phnum; ++i) {
            const ElfW(Phdr)& header = object->dlpi_phdr[i];
            if (header.p_type != PT_NOTE) continue;
            const auto* const begin =
                reinterpret_cast<const std::byte*>(object->dlpi_addr + header.p_vaddr);
            const std::string found =
                build_id_in({begin, header.p_memsz}, header.p_align == 8 ? 8 : 4);
            if (!found.empty()) *static_cast<std::string*>(out) = found;
        }
        return 1;
    };
    ::dl_iterate_phdr(look, &id);
    return id;
}

std::vector<std::string> unresolved_libraries(const fs::path& library) {
    std::set<std::string> missing, seen;
    std::deque<fs::path> queue{library};
    while (!queue.empty()) {
        const fs::path one = queue.front();
        queue.pop_front();
        const ElfNeeds needs = read_elf_needs(one);
        for (const std::string& name : needs.needed) {
            if (!seen.insert(name).second) continue;
            const auto found = std::find_if(needs.search.begin(), needs.search.end(),
                                            [&](const fs::path& directory) {
                                                std::error_code error;
                                                return fs::exists(directory / name, error);
                                            });
            if (found != needs.search.end())
                queue.push_back(*found / name);
            else if (!in_system(name))
                missing.insert(name);
        }
    }
    return {missing.begin(), missing.end()};
}

}  // namespace knlp
