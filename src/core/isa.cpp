#include "knlp/core/error.h"
#include "knlp/core/host.h"

#include <cpuid.h>

#include <cstdlib>
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

const CpuFeatures& features() {
    static const CpuFeatures cpu = read_features();
    return cpu;
}

Isa choose_isa() {
    const CpuFeatures& cpu = features();
    const Isa best = cpu.avx512 ? Isa::kAvx512 : cpu.avx2 ? Isa::kAvx2 : Isa::kScalar;
    const char* wanted = std::getenv("KNLP_ISA");
    if (wanted == nullptr || *wanted == '\0') return best;
    for (const Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512}) {
        if (std::string_view(wanted) != name_of(isa)) continue;
        if (isa > best)
            fail(kNotAvailable, "KNLP_ISA={}: this CPU has no {}; {} is its best", wanted,
                 isa == Isa::kAvx512 ? "AVX-512" : "AVX2", name_of(best));
        return isa;
    }
    fail(kUsage, "KNLP_ISA='{}': scalar, avx2 or avx512 was expected", wanted);
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

void force_isa(std::string_view name) {
    const CpuFeatures& cpu = features();
    const Isa best = cpu.avx512 ? Isa::kAvx512 : cpu.avx2 ? Isa::kAvx2 : Isa::kScalar;
    for (const Isa wanted : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512}) {
        if (name != name_of(wanted)) continue;
        if (wanted > best)
            fail(kNotAvailable, "instruction set {} is wanted and this CPU has {} at best", name,
                 name_of(best));
        chosen_isa() = wanted;
        return;
    }
    fail(kData, "instruction set '{}': scalar, avx2 or avx512 was expected", name);
}

bool has_avx512_bf16() {
    return features().avx512_bf16;
}

}  // namespace knlp
