#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace knlp {

/// A file of an archive: its path in it, with "/" between folders, and its content.
struct ArchiveFile {
    std::string name, content;
};

/// A gzipped ustar archive (POSIX.1-1988) of these files in order of their names: mode 0644, owner
/// 0, time 0 everywhere, so equal files give equal bytes. Error{kUsage} for a name that is twice
/// there, or that is too long for the format.
std::string tar_gz(std::vector<ArchiveFile> files);

struct ArchiveLimits {
    int64_t bytes = int64_t{4} << 30;  // unpacked
    int64_t files = 200000;
};
/// The files of a gzipped tar archive, in its order. Error{kData} naming the archive for damage,
/// for more than the limits, and for a member that could land outside of where it is unpacked to or
/// that is no plain file: absolute names, "..", links, devices. Folders are passed over.
std::vector<ArchiveFile> read_tar_gz(const std::filesystem::path& archive,
                                     const ArchiveLimits& limits = {});

/// Whether a name stays below the folder it is joined to: relative, no "..", no empty part.
bool is_inner_path(std::string_view name);

}  // namespace knlp
