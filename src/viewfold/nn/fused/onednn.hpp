// The engine of oneDNN, and the stream of the calling thread.
#pragma once

#include <dnnl.hpp>

namespace viewfold::fused {

inline const dnnl::engine& engine() {
  static const dnnl::engine kEngine(dnnl::engine::kind::cpu, 0);
  return kEngine;
}

inline dnnl::stream& stream() {
  thread_local dnnl::stream stream(engine());
  return stream;
}

}  // namespace viewfold::fused
