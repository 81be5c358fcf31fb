// The A.X K1 graph in LibTorch: how fast whole steps of training are there, for docs/teacher.md.
// Not part of the program. Needs libtorch-dev:
//   g++ -std=c++17 -O2 -I/usr/include/torch/csrc/api/include examples/claims/libtorch_speed.cc \
//     -ltorch -ltorch_cpu -lc10 -o build/libtorch_speed
// Arguments: the sizes in the order of `Sizes`, rows, row length, f32 or bf16, steps.
#include <torch/torch.h>

#include <ATen/autocast_mode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

using torch::Tensor;
namespace F = torch::nn::functional;

struct Sizes {
  int64_t vocab = 0, hidden = 0, layers = 0, dense_layers = 0, intermediate = 0,
          expert_intermediate = 0, experts = 0, top_k = 0, heads = 0, q_lora = 0, kv_lora = 0,
          nope = 0, rope = 0, v = 0;
};

struct Graph {
  Sizes s;
  std::vector<Tensor> parameters;
  size_t next = 0;  // of parameters, while a step is computed
  Tensor cos, sin, mask;

  Graph(const Sizes& sizes, int64_t length) : s(sizes) {
    const auto positions = torch::arange(length, torch::kFloat);
    const auto frequencies =
        torch::pow(10000.0, -torch::arange(0, s.rope, 2, torch::kFloat) / s.rope);
    const Tensor angles = torch::outer(positions, frequencies);
    cos = angles.cos().unsqueeze(1);
    sin = angles.sin().unsqueeze(1);
    mask = torch::full({length, length}, -INFINITY).triu(1);
  }

  // Makes the parameter on the first pass and finds it again on later ones.
  Tensor parameter(at::IntArrayRef shape, bool norm = false) {
    if (next == parameters.size()) {
      parameters.push_back((norm ? torch::ones(shape) : 0.02 * torch::randn(shape))
                               .requires_grad_(true));
    }
    return parameters[next++];
  }
  Tensor linear(const Tensor& x, int64_t out) { return F::linear(x, parameter({out, x.size(-1)})); }
  Tensor norm(const Tensor& x) {
    const Tensor f = x.to(torch::kFloat);
    return (f * torch::rsqrt(f.square().mean(-1, true) + 1e-6) * parameter({x.size(-1)}, true))
        .to(x.scalar_type());
  }
  Tensor rotate(const Tensor& x) const {  // [rows, length, heads, rope]
    const auto half = x.chunk(2, -1);
    return torch::cat({half[0] * cos - half[1] * sin, half[1] * cos + half[0] * sin}, -1)
        .to(x.scalar_type());
  }
  Tensor swiglu(const Tensor& x, int64_t inner) {
    const Tensor gate = linear(x, inner), up = linear(x, inner);
    return linear(torch::silu(gate) * up, x.size(-1));
  }

  Tensor attention(const Tensor& x) {
    const int64_t rows = x.size(0), length = x.size(1);
    const Tensor q = linear(norm(linear(x, s.q_lora)), s.heads * (s.nope + s.rope))
                         .view({rows, length, s.heads, s.nope + s.rope});
    const auto q_parts = q.split_with_sizes({s.nope, s.rope}, -1);
    const auto latent = linear(x, s.kv_lora + s.rope).split_with_sizes({s.kv_lora, s.rope}, -1);
    const auto kv = linear(norm(latent[0]), s.heads * (s.nope + s.v))
                        .view({rows, length, s.heads, s.nope + s.v})
                        .split_with_sizes({s.nope, s.v}, -1);
    const Tensor k_rope =
        rotate(latent[1].unsqueeze(2)).expand({rows, length, s.heads, s.rope});
    const Tensor query = torch::cat({q_parts[0], rotate(q_parts[1])}, -1).transpose(1, 2);
    const Tensor key = torch::cat({kv[0], k_rope}, -1).transpose(1, 2);
    const double scale = 1 / std::sqrt(static_cast<double>(s.nope + s.rope));
    const Tensor scores = torch::matmul(query, key.transpose(2, 3)) * scale + mask;
    const Tensor out = torch::matmul(torch::softmax(scores, -1), kv[1].transpose(1, 2));
    return linear(out.transpose(1, 2).reshape({rows, length, s.heads * s.v}), s.hidden);
  }

  // Tokens grouped by expert, as a mixture is written with LibTorch's operations.
  Tensor experts(const Tensor& x) {
    const Tensor flat = x.reshape({-1, s.hidden});
    const Tensor scores = torch::sigmoid(F::linear(flat.to(torch::kFloat),
                                                   parameter({s.experts, s.hidden})));
    const auto top = scores.topk(s.top_k, -1);
    const Tensor indices = std::get<1>(top);
    Tensor weights = std::get<0>(top);
    weights = 1.5 * weights / weights.sum(-1, true);
    Tensor out = swiglu(flat, s.expert_intermediate).to(torch::kFloat);  // the shared expert
    const Tensor order = indices.flatten().argsort();
    const Tensor counts = indices.flatten().bincount({}, s.experts).contiguous();
    int64_t at = 0;
    for (int64_t e = 0; e < s.experts; ++e) {
      const int64_t count = counts.data_ptr<int64_t>()[e];
      const Tensor rows = order.narrow(0, at, count), tokens = rows.div(s.top_k, "floor");
      const Tensor y = swiglu(flat.index_select(0, tokens), s.expert_intermediate);
      const Tensor weight = weights.flatten().index_select(0, rows).unsqueeze(1);
      out = out.index_add(0, tokens, y.to(torch::kFloat) * weight);
      at += count;
    }
    return out.view(x.sizes()).to(x.scalar_type());
  }

  Tensor loss(const Tensor& ids, const Tensor& targets) {
    next = 0;
    const Tensor table = parameter({s.vocab, s.hidden});
    Tensor x = F::embedding(ids, table);
    for (int64_t layer = 0; layer < s.layers; ++layer) {
      x = x + attention(norm(x));
      const Tensor h = norm(x);
      const Tensor y = layer < s.dense_layers ? swiglu(h, s.intermediate) : experts(h);
      x = x + norm(y);
    }
    const Tensor logits = F::linear(norm(x), table).to(torch::kFloat);
    return F::cross_entropy(logits.view({-1, s.vocab}), targets.flatten());
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 19) {
    std::fprintf(stderr,
                 "usage: libtorch_speed VOCAB HIDDEN LAYERS DENSE_LAYERS INTERMEDIATE "
                 "EXPERT_INTERMEDIATE EXPERTS TOP_K HEADS Q_LORA KV_LORA NOPE ROPE V "
                 "ROWS LENGTH f32|bf16 STEPS\n");
    return 2;
  }
  const auto number = [&](int i) { return std::atoll(argv[i]); };
  const Sizes sizes{number(1),  number(2),  number(3),  number(4),  number(5),
                    number(6),  number(7),  number(8),  number(9),  number(10),
                    number(11), number(12), number(13), number(14)};
  const int64_t rows = number(15), length = number(16), steps = number(18);
  const bool bf16 = std::string(argv[17]) == "bf16";
  torch::manual_seed(1);
  Graph graph(sizes, length);
  const auto draw = [&] { return torch::randint(sizes.vocab, {rows, length}, torch::kLong); };
  if (bf16) {
    at::autocast::set_autocast_cpu_dtype(torch::kBFloat16);
    at::autocast::set_cpu_enabled(true);
  }
  graph.loss(draw(), draw());  // makes the parameters
  int64_t count = 0;
  for (const Tensor& p : graph.parameters) count += p.numel();
  torch::optim::AdamW optimizer(graph.parameters, torch::optim::AdamWOptions(1e-3));
  std::vector<double> rates;
  double last = 0;
  for (int64_t step = 0; step < steps; ++step) {
    const Tensor ids = draw(), targets = draw();
    const auto start = std::chrono::steady_clock::now();
    optimizer.zero_grad();
    const Tensor loss = graph.loss(ids, targets);
    loss.backward();
    torch::nn::utils::clip_grad_norm_(graph.parameters, 1.0);
    optimizer.step();
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (bf16) at::autocast::clear_cache();
    rates.push_back(static_cast<double>(rows * length) / seconds);
    last = loss.item<double>();
  }
  std::sort(rates.begin(), rates.end());
  std::printf("%lld parameters, %s, %d threads, loss %.3f: median %.0f tok/s, best %.0f\n",
              static_cast<long long>(count), argv[17], at::get_num_threads(), last,
              rates[rates.size() / 2], rates.back());
}
