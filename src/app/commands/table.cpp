#include "knlp/app/command.h"

namespace knlp::app {

#define X(name) extern const Command cmd_##name;
#include "generated/cmd.inc"
#undef X

std::span<const Command* const> commands() {
    static const Command* const rows[] = {
#define X(name) &cmd_##name,
#include "generated/cmd.inc"
#undef X
    };
    return rows;
}

}  // namespace knlp::app
