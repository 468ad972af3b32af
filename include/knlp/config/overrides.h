#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace knlp::config {

struct ChoiceInfo;

/// The member that CHOICE=VALUE means: its name, or, in any case, what is left of it without the
/// words that all members begin with (GEMM_BACKEND=native is GEMM_NATIVE=y). E_TYPE for another.
std::string member_meant(const ChoiceInfo& choice, std::string_view value,
                         const std::string& where);

/// What can be told of the overrides (KNLP_SET, KNLP_MAKE_SET and these `--set` texts) without a
/// configuration: Error{kConfig} for a name that is no symbol (E_UNKNOWN_SYMBOL), a value of
/// another type (E_TYPE) or a build symbol, as Symbols::load() throws it. Returns the names of the
/// symbols that the `--set` texts mean: of an alias its new name, of a choice the member.
std::vector<std::string> check_overrides(const std::vector<std::string>& set_flags);

/// The same of one value: returns the symbol that `name` means. `where` begins the message.
/// E_NOT_SETTABLE for a symbol that follows from others.
std::string check_setting(const std::string& name, const std::string& value,
                          const std::string& where);

}  // namespace knlp::config
