#pragma once

#include <string>
#include <vector>

namespace knlp::config {

/// What can be told of the overrides (KNLP_SET, KNLP_MAKE_SET and these `--set` texts) without a
/// configuration: Error{kConfig} for a name that is no symbol (E_UNKNOWN_SYMBOL), a value of another
/// type (E_TYPE) or a build symbol, as Symbols::load() throws it. Returns the names of the symbols
/// that the `--set` texts mean, an alias being its new name.
std::vector<std::string> check_overrides(const std::vector<std::string>& set_flags);

/// The same of one value: returns the symbol that `name` means. `where` begins the message.
/// E_NOT_SETTABLE for a symbol that follows from others.
std::string check_setting(const std::string& name, const std::string& value,
                          const std::string& where);

}  // namespace knlp::config
