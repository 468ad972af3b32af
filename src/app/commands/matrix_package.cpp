#include "src/app/commands/matrix_cells.h"
#include "src/app/commands/matrix_verbs.h"
#include "src/app/commands/report_verbs.h"
#include "src/app/parser.h"

#include "knlp/app/command.h"
#include "knlp/core/file.h"
#include "knlp/report/ledger.h"

#include <filesystem>
#include <string>

namespace knlp::app {
namespace {

namespace fs = std::filesystem;

std::string directory;

int package(const Common& common) {
    refuse_overrides(common, false);
    const fs::path whole = (fs::path(directory) / "").lexically_normal().parent_path();
    const fs::path out =
        common.out.empty() ? fs::path(whole.filename().string() + ".tar.gz") : fs::path(common.out);
    const std::string archive = report::package(whole, results_of(ledger_path("", common)));
    if (!common.dry_run) write_file_atomic(out, archive);
    put_text(out.string() + "\n");
    return 0;
}

}  // namespace

MatrixVerb add_matrix_package(Parser matrix) {
    directory.clear();
    Parser sub = matrix.add_subcommand(
        "package", "one archive of a matrix, to be checked by `knlp report --check`");
    sub.add_option("directory", directory, "matrix directory").required().type_name("DIR");
    return {.parser = sub, .run = package};
}

}  // namespace knlp::app
