#include "knlp/core/error.h"
#include "knlp/core/host.h"

#include <cpuid.h>

#include <cstdlib>
#include <optional>
#include <string_view>

namespace knlp {

namespace {

struct CpuFeatures {
    bool avx2 = false, avx512 = false, avx512_bf16 = false;
};

/// XCR0: which register states the system saves on a context switch.
uint64_t saved_states() {
    uint32_t eax = 0, edx = 0;
    __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    return eax | (uint64_t{edx} << 32);
}

CpuFeatures read_features() {
    CpuFeatures f;
    uint32_t a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid(1, &a, &b, &c, &d) == 0) return f;
    const bool osxsave = (c & bit_OSXSAVE) != 0;
    const bool fma_f16c = (c & bit_FMA) != 0 && (c & bit_F16C) != 0 && (c & bit_AVX) != 0;
    if (!osxsave || !fma_f16c) return f;
    const uint64_t states = saved_states();
    constexpr uint64_t kYmm = 0x6, kZmm = 0xe6;  // SSE + AVX; and opmask + both upper halves
    if ((states & kYmm) != kYmm || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return f;
    f.avx2 = (b & bit_AVX2) != 0;
    constexpr uint32_t kWanted = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    f.avx512 = f.avx2 && (b & kWanted) == kWanted && (states & kZmm) == kZmm;
    if (f.avx512 && a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0)
        f.avx512_bf16 = (a & bit_AVX512BF16) != 0;
    return f;
}

std::optional<Isa> isa_named(std::string_view name) {
    for (const Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512})
        if (name == name_of(isa)) return isa;
    return std::nullopt;
}

/// Level named by an environment variable; nothing where it is not set.
std::optional<Isa> isa_from(const char* variable) {
    const char* value = std::getenv(variable);
    if (value == nullptr || *value == '\0') return std::nullopt;
    const std::optional<Isa> found = isa_named(value);
    if (!found) fail(kUsage, "{}='{}': scalar, avx2 or avx512 was expected", variable, value);
    return found;
}

/// What the CPU has beyond KNLP_CPU_LIMIT counts as absent.
CpuFeatures limited_features() {
    CpuFeatures f = read_features();
    const std::optional<Isa> limit = isa_from("KNLP_CPU_LIMIT");
    if (!limit) return f;
    f.avx512_bf16 = false;
    f.avx512 = f.avx512 && *limit >= Isa::kAvx512;
    f.avx2 = f.avx2 && *limit >= Isa::kAvx2;
    return f;
}

const CpuFeatures& features() {
    static const CpuFeatures cpu = limited_features();
    return cpu;
}

Isa best_isa() {
    const CpuFeatures& cpu = features();
    return cpu.avx512 ? Isa::kAvx512 : cpu.avx2 ? Isa::kAvx2 : Isa::kScalar;
}

Isa choose_isa() {
    const Isa best = best_isa(), wanted = asked_isa().value_or(best);
    if (wanted > best)
        fail(kNotAvailable, "KNLP_ISA={}: this CPU has no {}; {} is its best", name_of(wanted),
             wanted == Isa::kAvx512 ? "AVX-512" : "AVX2", name_of(best));
    return wanted;
}

}  // namespace

const char* name_of(Isa isa) {
    switch (isa) {
        case Isa::kScalar:
            return "scalar";
        case Isa::kAvx2:
            return "avx2";
        case Isa::kAvx512:
            return "avx512";
    }
    return "unknown";
}

namespace {

Isa& chosen_isa() {
    static Isa chosen = choose_isa();
    return chosen;
}

}  // namespace

Isa isa() {
    return chosen_isa();
}

std::optional<Isa> asked_isa() {
    return isa_from("KNLP_ISA");
}

void force_isa(std::string_view name) {
    const std::optional<Isa> wanted = isa_named(name);
    if (!wanted) fail(kData, "instruction set '{}': scalar, avx2 or avx512 was expected", name);
    if (*wanted > best_isa())
        fail(kNotAvailable, "instruction set {} is wanted and this CPU has {} at best", name,
             name_of(best_isa()));
    chosen_isa() = *wanted;
}

bool has_avx512_bf16() {
    return features().avx512_bf16;
}

bool bf16_dot_products() {
    return isa() == Isa::kAvx512 && has_avx512_bf16();
}

}  // namespace knlp
