#pragma once

#include "knlp/config/symbols.h"
#include "knlp/matrix/plan.h"

#include <filesystem>

namespace knlp::app {

/// Where binaries for arms with build symbols are made from.
struct BuildPlace {
    std::filesystem::path source;  // tree of this binary's revision
    std::filesystem::path pch;     // PCH_DIR, "" = the tree's own
};

/// Builds knlp for an arm by `make` in the source tree, keeps the binary below `matrix` and throws
/// the rest away; objects come from ccache where they can. Messages of make go to stderr.
/// Error{kNotAvailable} where there is no tree or it is another revision, Error{kRun} when make
/// fails.
matrix::Build build_for(const config::Symbols& arm, const BuildPlace& place,
                        const std::filesystem::path& matrix);

}  // namespace knlp::app
