// Holds OpenBLAS to one thread for a while.
#pragma once

extern "C" {
int openblas_get_num_threads(void);
void openblas_set_num_threads(int count);
}

namespace viewfold {

/// One thread for OpenBLAS, of the whole process, for as long as it lives. For many small products
/// that are already computed side by side: its own threads beside those of OpenMP would wait for
/// one another longer than they compute (ten times as long for [4096, 128] x [128, 10] on a busy
/// machine of two cores).
class SingleThreadedBlas {
 public:
  SingleThreadedBlas() : before_(openblas_get_num_threads()) { openblas_set_num_threads(1); }
  ~SingleThreadedBlas() { openblas_set_num_threads(before_); }
  SingleThreadedBlas(const SingleThreadedBlas&) = delete;
  SingleThreadedBlas& operator=(const SingleThreadedBlas&) = delete;

 private:
  int before_;
};

}  // namespace viewfold
