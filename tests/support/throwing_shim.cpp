// Preload library that makes a library call do what knlp does not foresee:
//
//   LD_PRELOAD=throwing_shim.so knlp report list
//
// where opening the index of runs throws an exception that is neither an Error nor one of the
// standard library's that main() knows.

#include <stdexcept>

extern "C" int sqlite3_open(const char*, void**) {
    throw std::logic_error("unforeseen\nwith a second line");
}
