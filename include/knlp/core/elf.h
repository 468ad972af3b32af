#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace knlp {

/// What a shared library says about the libraries it needs.
struct ElfNeeds {
    std::vector<std::string> needed;            // DT_NEEDED, such as "libcudart.so.13"
    std::vector<std::filesystem::path> search;  // DT_RUNPATH or DT_RPATH with $ORIGIN replaced
};

/// Reads the dynamic section of a 64-bit little-endian ELF file. Error{kData} when the file is none
/// or is damaged.
ElfNeeds read_elf_needs(const std::filesystem::path& library);

/// GNU build id of the program that runs, in hexadecimal: a hash of what the linker made. "" when
/// it was linked without one.
std::string own_build_id();

/// Needed entries of `library`, and of what it needs in turn, that neither the search paths of the
/// library nor the system's directories have; sorted. LD_LIBRARY_PATH is not looked at.
std::vector<std::string> unresolved_libraries(const std::filesystem::path& library);

}  // namespace knlp
