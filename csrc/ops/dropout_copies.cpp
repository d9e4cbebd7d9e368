#include "ops/dropout_copies.h"

#include "ops/registration.h"

namespace fiqa {
namespace {

constexpr const char* kOp = "fiqa_fast::dropout_copies";

DropoutCopies checked(const Tensor& x, const Tensor& sample, int64_t seed, int64_t stream,
                      int64_t threshold, const Tensor& out) {
  STD_TORCH_CHECK(x.dim() == 2 && x.is_contiguous() && x.size(1) % 4 == 0, kOp,
                  ": expected contiguous x of shape [N, F], where 4 divides F");
  STD_TORCH_CHECK(sample.dim() == 1 && sample.is_contiguous() && sample.size(0) == x.size(0) &&
                      sample.scalar_type() == ScalarType::Long && sample.device() == x.device(),
                  kOp, ": expected sample as contiguous int64 [N] on the device of x");
  STD_TORCH_CHECK(out.dim() == 3 && out.is_contiguous() && out.size(0) == x.size(0) &&
                      out.size(2) == x.size(1) && out.scalar_type() == x.scalar_type() &&
                      out.device() == x.device(),
                  kOp, ": expected contiguous out of shape [N, T, F] with dtype and device of x");
  const int64_t limit = int64_t{1} << 32;
  STD_TORCH_CHECK(0 <= stream && stream < limit && 0 <= threshold && threshold < limit && seed >= 0,
                  kOp, ": expected seed >= 0, and stream and threshold in [0, 2^32)");
  STD_TORCH_CHECK(out.size(1) * x.size(1) < 4 * limit, kOp,
                  ": expected T * F below 2^34, got T=", out.size(1), ", F=", x.size(1));
  for (const void* p : {x.const_data_ptr(), out.const_data_ptr()}) {
    const int64_t quad = 4 * (x.scalar_type() == ScalarType::Double  ? 8
                              : x.scalar_type() == ScalarType::Float ? 4
                                                                     : 2);
    STD_TORCH_CHECK(reinterpret_cast<uintptr_t>(p) % quad == 0, kOp,
                    ": expected x and out at addresses of whole quads of elements; clone a slice");
  }
  DropoutCopies a{};
  a.x = x.const_data_ptr();
  a.sample = data<const int64_t>(sample);
  a.seed = static_cast<uint64_t>(seed);
  a.stream = static_cast<uint32_t>(stream);
  a.threshold = static_cast<uint32_t>(threshold);
  a.out = out.mutable_data_ptr();
  a.N = x.size(0), a.T = out.size(1), a.F = x.size(1);
  return a;
}

[[maybe_unused]] void dropout_copies_cpu(Tensor x, Tensor sample, int64_t seed, int64_t stream,
                                         int64_t threshold, Tensor out) {
  cpu::dropout_copies(dtype_of(x, kOp), checked(x, sample, seed, stream, threshold, out));
}

#if defined(FIQA_WITH_CUDA) || defined(FIQA_CUDA_EMU)
void dropout_copies_cuda(Tensor x, Tensor sample, int64_t seed, int64_t stream, int64_t threshold,
                         Tensor out) {
  const DropoutCopies a = checked(x, sample, seed, stream, threshold, out);
  const DType dtype = cuda_dtype_of(x, kOp);
  const CudaScope cuda(x);
  check_launch(fiqa_cuda_dropout_copies(dtype, &a, cuda.stream()), kOp);
}
#endif

}  // namespace

FIQA_REGISTER_OP("dropout_copies",
                 "dropout_copies(Tensor x, Tensor sample, int seed, int stream, int threshold,"
                 " Tensor(a!) out) -> ()",
                 dropout_copies_cpu, dropout_copies_cuda)

}  // namespace fiqa
