// Implements the passes over rows of channels, once for every instruction set. A few vectors of
// channels are taken down all rows before the next few: their constants and sums stay in registers.
#include "viewfold/nn/fused/rows.hpp"

#include <algorithm>
#include <array>

#include "viewfold/core/error.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "viewfold/nn/fused/rows.cpp"
// In this order, because the second is included once for every instruction set:
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace viewfold::fused::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using DF = hn::CappedTag<float, kChannelStep>;
using VF = hn::Vec<DF>;

HWY_INLINE VF load(const float* from) {
  return hn::LoadU(DF(), from);
}

HWY_INLINE VF load(const Bf16* from) {
  const DF d;
  const hn::Rebind<std::uint16_t, DF> d16;
  const hn::Rebind<std::uint32_t, DF> d32;
  const auto bits = hn::LoadU(d16, reinterpret_cast<const std::uint16_t*>(from));
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, bits)));
}

HWY_INLINE void store(VF value, float* to) {
  hn::StoreU(value, DF(), to);
}

// Rounds to nearest even: half of the last place, less one where the last kept bit is 0.
HWY_INLINE void store(VF value, Bf16* to) {
  const hn::Rebind<std::uint16_t, DF> d16;
  const hn::Rebind<std::uint32_t, DF> d32;
  const hn::Rebind<std::int32_t, DF> i32;
  const auto bits = hn::BitCast(d32, value);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d32, 1U));
  const auto rounded = hn::Add(hn::Add(bits, hn::Set(d32, 0x7FFFU)), odd);
  const auto high = hn::BitCast(i32, hn::ShiftRight<16>(rounded));
  hn::StoreU(hn::DemoteTo(d16, high), d16, reinterpret_cast<std::uint16_t*>(to));
}

// Bf16 as processors with AVX512_BF16 write it: by an instruction of their own, which Highway 1.0
// does not know yet.
struct NativeBf16 {
  std::uint16_t bits = 0;
};

HWY_INLINE VF load(const NativeBf16* from) {
  return load(reinterpret_cast<const Bf16*>(from));
}

HWY_INLINE void store(VF value, NativeBf16* to) {
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
  __m256i bits;
  asm("vcvtneps2bf16 %1, %0" : "=v"(bits) : "v"(value.raw));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bits);
#else
  store(value, reinterpret_cast<Bf16*>(to));
#endif
}

// Calls body(to) with `out` as what it is best written as.
template <class Body>
HWY_INLINE void with_output(float* out, const Body& body) {
  body(out);
}

template <class Body>
HWY_INLINE void with_output(Bf16* out, const Body& body) {
  static const bool kNative = __builtin_cpu_supports("avx512bf16") != 0;
  if (kNative) {
    body(reinterpret_cast<NativeBf16*>(out));
  } else {
    body(out);
  }
}

// max(value, 0), where what is not a number stays so: of two values x86 gives the second then.
HWY_INLINE VF rectified(VF value) {
  return hn::Max(hn::Zero(DF()), value);
}

// Calls body(integral_constant<int, Count>, channel) for Count vectors of channels at a time.
template <class Body>
HWY_INLINE void for_channels(std::size_t channels, const Body& body) {
  const std::size_t lanes = hn::Lanes(DF());
  std::size_t c = 0;
  for (; c + 4 * lanes <= channels; c += 4 * lanes) {
    body(std::integral_constant<int, 4>(), c);
  }
  for (; c + 2 * lanes <= channels; c += 2 * lanes) {
    body(std::integral_constant<int, 2>(), c);
  }
  for (; c < channels; c += lanes) {
    body(std::integral_constant<int, 1>(), c);
  }
}

// One constant of each of Count vectors of channels. An array of vectors would not do: where their
// size is unknown to the compiler there is none.
template <int Count>
struct Constants {
  VF v0, v1, v2, v3;
  template <int I>
  HWY_INLINE VF get() const {
    if constexpr (I == 0) {
      return v0;
    } else if constexpr (I == 1) {
      return v1;
    } else if constexpr (I == 2) {
      return v2;
    } else {
      return v3;
    }
  }
  template <int I>
  HWY_INLINE void set(VF value) {
    if constexpr (I == 0) {
      v0 = value;
    } else if constexpr (I == 1) {
      v1 = value;
    } else if constexpr (I == 2) {
      v2 = value;
    } else {
      v3 = value;
    }
  }
};

// body(integral_constant<int, I>) for I = 0 ... Count - 1, unrolled.
template <int Count, class Body>
HWY_INLINE void unroll(const Body& body) {
  body(std::integral_constant<int, 0>());
  if constexpr (Count > 1) {
    body(std::integral_constant<int, 1>());
  }
  if constexpr (Count > 2) {
    body(std::integral_constant<int, 2>());
    body(std::integral_constant<int, 3>());
  }
}

template <int Count>
HWY_INLINE Constants<Count> load_constants(const float* from) {
  const DF d;
  Constants<Count> constants{hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  unroll<Count>([&](auto i) HWY_ATTR {
    constants.template set<i()>(hn::LoadU(d, from + i() * hn::Lanes(d)));
  });
  return constants;
}

template <int Count>
HWY_INLINE Constants<Count> zeros() {
  const DF d;
  return {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
}

template <int Count>
HWY_INLINE void add_to(const Constants<Count>& sums, double* to) {
  const DF d;
  HWY_ALIGN float values[hn::MaxLanes(d)];
  unroll<Count>([&](auto i) HWY_ATTR {
    hn::Store(sums.template get<i()>(), d, values);
    for (std::size_t k = 0; k < hn::Lanes(d); ++k) {
      to[i() * hn::Lanes(d) + k] += static_cast<double>(values[k]);
    }
  });
}

// Rows whose sums are kept in float32.
constexpr std::size_t kSumRows = 256;

// Two sums of each channel: term(I, offset, first, second) adds the values at `offset`.
template <class Term>
HWY_INLINE void two_sums(RowShape shape, double* first, double* second, const Term& make_term) {
  std::fill_n(first, shape.channels, 0.0);
  std::fill_n(second, shape.channels, 0.0);
  const std::size_t lanes = hn::Lanes(DF());
  for (std::size_t begin = 0; begin < shape.rows; begin += kSumRows) {
    const std::size_t end = std::min(begin + kSumRows, shape.rows);
    for_channels(shape.channels, [&](auto count, std::size_t c) HWY_ATTR {
      auto a = zeros<count()>();
      auto b = zeros<count()>();
      const auto term = make_term(count, c);
      for (std::size_t row = begin; row < end; ++row) {
        const std::size_t at = row * shape.channels + c;
        unroll<count()>([&](auto i) HWY_ATTR {
          VF left = a.template get<i()>();
          VF right = b.template get<i()>();
          term(i, at + i() * lanes, left, right);
          a.template set<i()>(left);
          b.template set<i()>(right);
        });
      }
      add_to<count()>(a, first + c);
      add_to<count()>(b, second + c);
    });
  }
}

// make(count, c) gives f(I, offset) -> the new value at the offset.
template <class Out, class Make>
HWY_INLINE void map_rows(RowShape shape, Out* out, const Make& make) {
  const std::size_t lanes = hn::Lanes(DF());
  // As many rows as stay in the first cache while one group of channels after another is taken.
  constexpr std::size_t kTileRows = 16;
  for (std::size_t begin = 0; begin < shape.rows; begin += kTileRows) {
    const std::size_t end = std::min(begin + kTileRows, shape.rows);
    for_channels(shape.channels, [&](auto count, std::size_t c) HWY_ATTR {
      const auto value = make(count, c);
      for (std::size_t row = begin; row < end; ++row) {
        const std::size_t at = row * shape.channels + c;
        unroll<count()>(
            [&](auto i) HWY_ATTR { store(value(i, at + i() * lanes), out + at + i() * lanes); });
      }
    });
  }
}

template <class T>
void sum_values(const T* x, RowShape shape, const float* center, double* sum, double* squares) {
  two_sums(shape, sum, squares, [&](auto count, std::size_t c) HWY_ATTR {
    return [x, centers = load_constants<count()>(center + c)](auto i, std::size_t at, VF& a, VF& b)
               HWY_ATTR {
                 const auto value = hn::Sub(load(x + at), centers.template get<i()>());
                 a = hn::Add(a, value);
                 b = hn::MulAdd(value, value, b);
               };
  });
}

template <class T, class Out>
void normalize_values(const T* x, RowShape shape, Affine affine, Out* out) {
  map_rows(shape, out, [&](auto count, std::size_t c) HWY_ATTR {
    return [x, scale = load_constants<count()>(affine.scale + c),
            shift = load_constants<count()>(affine.shift + c)](auto i, std::size_t at) HWY_ATTR {
      return rectified(
          hn::MulAdd(load(x + at), scale.template get<i()>(), shift.template get<i()>()));
    };
  });
}

template <class T, class Out>
void join_values(
    const T* x, RowShape shape, Affine affine, const T* other, Affine other_affine, Out* out) {
  const bool projected = other_affine.scale != nullptr;
  map_rows(shape, out, [&](auto count, std::size_t c) HWY_ATTR {
    const auto scale = load_constants<count()>(affine.scale + c);
    const auto shift = load_constants<count()>(affine.shift + c);
    const auto other_scale =
        projected ? load_constants<count()>(other_affine.scale + c) : zeros<count()>();
    const auto other_shift =
        projected ? load_constants<count()>(other_affine.shift + c) : zeros<count()>();
    return [=](auto i, std::size_t at) HWY_ATTR {
      const auto own =
          hn::MulAdd(load(x + at), scale.template get<i()>(), shift.template get<i()>());
      auto added = load(other + at);
      if (projected) {
        added = hn::MulAdd(added, other_scale.template get<i()>(), other_shift.template get<i()>());
      }
      return rectified(hn::Add(own, added));
    };
  });
}

// The gradient that passes the gate, for one group of channels.
template <class T, int Count>
struct Gated {
  const T* gradient;
  const T* output;
  const T* input;
  Constants<Count> scale;
  Constants<Count> shift;

  template <class I>
  HWY_INLINE VF operator()(I i, std::size_t at) const {
    const auto g = load(gradient + at);
    const auto passed = output != nullptr ? load(output + at)
                                          : hn::MulAdd(load(input + at), scale.template get<i()>(),
                                                       shift.template get<i()>());
    return hn::IfThenElseZero(hn::Gt(passed, hn::Zero(DF())), g);
  }
};

template <int Count, class T>
HWY_INLINE Gated<T, Count> gated(const T* gradient, const Gate<T>& gate, std::size_t c) {
  const bool by_input = gate.output == nullptr;
  return {gradient, gate.output, gate.input,
          by_input ? load_constants<Count>(gate.affine.scale + c) : zeros<Count>(),
          by_input ? load_constants<Count>(gate.affine.shift + c) : zeros<Count>()};
}

template <class T>
void sum_gradient_values(const T* gradient,
                         const Gate<T>& gate,
                         const T* x,
                         RowShape shape,
                         const float* center,
                         double* sum,
                         double* products) {
  two_sums(shape, sum, products, [&](auto count, std::size_t c) HWY_ATTR {
    return [x, g = gated<count()>(gradient, gate, c),
            centers = load_constants<count()>(center + c)](auto i, std::size_t at, VF& a, VF& b)
               HWY_ATTR {
                 const auto passed = g(i, at);
                 a = hn::Add(a, passed);
                 b = hn::MulAdd(passed, hn::Sub(load(x + at), centers.template get<i()>()), b);
               };
  });
}

template <class T, class Out>
void normalize_gradient_values(const T* gradient,
                               const Gate<T>& gate,
                               const T* x,
                               RowShape shape,
                               const NormGradient& k,
                               Out* out) {
  map_rows(shape, out, [&](auto count, std::size_t c) HWY_ATTR {
    return [x, g = gated<count()>(gradient, gate, c),
            of_gradient = load_constants<count()>(k.gradient + c),
            of_input = load_constants<count()>(k.input + c),
            constant = load_constants<count()>(k.constant + c)](auto i, std::size_t at) HWY_ATTR {
      const auto rest =
          hn::MulAdd(load(x + at), of_input.template get<i()>(), constant.template get<i()>());
      return hn::MulAdd(g(i, at), of_gradient.template get<i()>(), rest);
    };
  });
}

template <class T, class Out>
void add_gated_values(const T* gradient, const T* output, RowShape shape, Out* out) {
  map_rows(shape, out, [&](auto /*count*/, std::size_t /*c*/) HWY_ATTR {
    return [=](auto /*i*/, std::size_t at) HWY_ATTR {
      const auto open = hn::Gt(load(output + at), hn::Zero(DF()));
      return hn::Add(load(out + at), hn::IfThenElseZero(open, load(gradient + at)));
    };
  });
}

template <class T, class Out>
void add_values(const T* x, RowShape shape, Out* out) {
  map_rows(shape, out, [&](auto /*count*/, std::size_t /*c*/) HWY_ATTR {
    return [=](auto /*i*/, std::size_t at)
               HWY_ATTR { return hn::Add(load(out + at), load(x + at)); };
  });
}

// What the dispatch wants: functions that are no templates, one for each element type.
#define VIEWFOLD_FUSED_ROWS(T, SUFFIX)                                                            \
  void sum_##SUFFIX(const T* x, RowShape shape, const float* center, double* sum,                 \
                    double* squares) {                                                            \
    sum_values(x, shape, center, sum, squares);                                                   \
  }                                                                                               \
  void normalize_##SUFFIX(const T* x, RowShape shape, Affine affine, T* out) {                    \
    with_output(out, [&](auto* to) HWY_ATTR { normalize_values(x, shape, affine, to); });         \
  }                                                                                               \
  void join_##SUFFIX(const T* x, RowShape shape, Affine affine, const T* other,                   \
                     Affine other_affine, T* out) {                                               \
    with_output(                                                                                  \
        out, [&](auto* to) HWY_ATTR { join_values(x, shape, affine, other, other_affine, to); }); \
  }                                                                                               \
  void sum_gradient_##SUFFIX(const T* gradient, const Gate<T>& gate, const T* x, RowShape shape,  \
                             const float* center, double* sum, double* products) {                \
    sum_gradient_values(gradient, gate, x, shape, center, sum, products);                         \
  }                                                                                               \
  void normalize_gradient_##SUFFIX(const T* gradient, const Gate<T>& gate, const T* x,            \
                                   RowShape shape, const NormGradient& k, T* out) {               \
    with_output(out, [&](auto* to) HWY_ATTR {                                                     \
      normalize_gradient_values(gradient, gate, x, shape, k, to);                                 \
    });                                                                                           \
  }                                                                                               \
  void add_gated_##SUFFIX(const T* gradient, const T* output, RowShape shape, T* out) {           \
    with_output(out, [&](auto* to) HWY_ATTR { add_gated_values(gradient, output, shape, to); });  \
  }                                                                                               \
  void add_##SUFFIX(const T* x, RowShape shape, T* out) {                                         \
    with_output(out, [&](auto* to) HWY_ATTR { add_values(x, shape, to); });                       \
  }

VIEWFOLD_FUSED_ROWS(float, f32)
VIEWFOLD_FUSED_ROWS(Bf16, bf16)
#undef VIEWFOLD_FUSED_ROWS

}  // namespace
}  // namespace viewfold::fused::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace viewfold::fused {
namespace {

HWY_EXPORT(sum_f32);
HWY_EXPORT(sum_bf16);
HWY_EXPORT(normalize_f32);
HWY_EXPORT(normalize_bf16);
HWY_EXPORT(join_f32);
HWY_EXPORT(join_bf16);
HWY_EXPORT(sum_gradient_f32);
HWY_EXPORT(sum_gradient_bf16);
HWY_EXPORT(normalize_gradient_f32);
HWY_EXPORT(normalize_gradient_bf16);
HWY_EXPORT(add_gated_f32);
HWY_EXPORT(add_gated_bf16);
HWY_EXPORT(add_f32);
HWY_EXPORT(add_bf16);

void check_channels(RowShape shape) {
  check(shape.channels % kChannelStep == 0, "rows have a multiple of 16 channels");
}

}  // namespace

#define VIEWFOLD_FUSED_ROWS(T, SUFFIX)                                                             \
  template <>                                                                                      \
  void sum_rows(const T* x, RowShape shape, const float* center, double* sum, double* squares) {   \
    check_channels(shape);                                                                         \
    HWY_DYNAMIC_DISPATCH(sum_##SUFFIX)(x, shape, center, sum, squares);                            \
  }                                                                                                \
  template <>                                                                                      \
  void normalize_rows(const T* x, RowShape shape, Affine affine, T* out) {                         \
    check_channels(shape);                                                                         \
    HWY_DYNAMIC_DISPATCH(normalize_##SUFFIX)(x, shape, affine, out);                               \
  }                                                                                                \
  template <>                                                                                      \
  void join_rows(const T* x, RowShape shape, Affine affine, const T* other, Affine other_affine,   \
                 T* out) {                                                                         \
    check_channels(shape);                                                                         \
    HWY_DYNAMIC_DISPATCH(join_##SUFFIX)(x, shape, affine, other, other_affine, out);               \
  }                                                                                                \
  template <>                                                                                      \
  void sum_gradient_rows(const T* gradient, const Gate<T>& gate, const T* x, RowShape shape,       \
                         const float* center, double* sum, double* products) {                     \
    check_channels(shape);                                                                         \
    HWY_DYNAMIC_DISPATCH(sum_gradient_##SUFFIX)(gradient, gate, x, shape, center, sum, products);  \
  }                                                                                                \
  template <>                                                                                      \
  void normalize_gradient_rows(const T* gradient, const Gate<T>& gate, const T* x, RowShape shape, \
                               const NormGradient& k, T* out) {                                    \
    check_channels(shape);                                                                         \
    HWY_DYNAMIC_DISPATCH(normalize_gradient_##SUFFIX)(gradient, gate, x, shape, k, out);           \
  }                                                                                                \
  template <>                                                                                      \
  void add_gated_rows(const T* gradient, const T* output, RowShape shape, T* out) {                \
    check_channels(shape);                                                                         \
    HWY_DYNAMIC_DISPATCH(add_gated_##SUFFIX)(gradient, output, shape, out);                        \
  }                                                                                                \
  template <>                                                                                      \
  void add_rows(const T* x, RowShape shape, T* out) {                                              \
    check_channels(shape);                                                                         \
    HWY_DYNAMIC_DISPATCH(add_##SUFFIX)(x, shape, out);                                             \
  }

VIEWFOLD_FUSED_ROWS(float, f32)
VIEWFOLD_FUSED_ROWS(Bf16, bf16)
#undef VIEWFOLD_FUSED_ROWS

}  // namespace viewfold::fused
#endif  // HWY_ONCE
