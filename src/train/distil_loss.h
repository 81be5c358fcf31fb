// How far a student's distribution of the next token is from a teacher's, and the gradient.
//
// Distributions are compared over classes: every token by itself, or the tokens that the teacher
// names and one class of all others. With q = softmax(z / T) and a loss L(q):
//   dL/dz_i = q_i (g_i - sum_j q_j g_j) / T,  g = dL/dq
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace axk1 {

enum class DistilLoss : uint8_t {
  kForwardKl,      // KL(p || q): Hinton et al. 2015, arXiv 1503.02531
  kReverseKl,      // KL(q || p): MiniLLM, arXiv 2306.08543
  kJsd,            // a KL(p || m) + (1 - a) KL(q || m), m = a p + (1 - a) q: arXiv 2306.13649
  kSkewKl,         // KL(p || a p + (1 - a) q): DistiLLM, arXiv 2402.03898
  kSkewReverseKl,  // KL(q || a q + (1 - a) p)
};

struct DistilOptions {
  DistilLoss loss = DistilLoss::kForwardKl;
  double alpha = 0.1;         // a
  double temperature = 1;     // T, of teacher and student; the loss is scaled by T²
  double teacher_weight = 1;  // of that loss
  double text_weight = 0;     // of the cross-entropy of the text's own next token
};

// What a teacher says of one token's successor.
struct TeacherRow {
  enum class Kind : uint8_t {
    kNothing,  // no loss here
    kAll,      // probabilities [vocab]
    kTop,      // probabilities of `ids`, and `rest` of all other tokens together
    kDraws,  // weights of `ids`, which sum to 1: an unbiased estimate of the distribution, of which
             // only the cross-entropy is one too, so kForwardKl alone, less the teacher's entropy
  };
  Kind kind = Kind::kNothing;
  std::span<const int32_t> ids;  // distinct
  std::span<const float> probabilities;
  float rest = 0;
  double entropy = 0;  // of kAll, in nats
};

// Of a teacher's probabilities none counts as less: their logarithms would be infinite.
inline constexpr double kLeastProbability = 1e-30;

// The loss between p and q over the same classes. g [classes] receives dL/dq, without constants
// that a softmax cancels.
template <class T>
T distil_classes(DistilLoss loss, double alpha, std::span<const T> p, std::span<const T> q,
                 std::span<T> g) {
  const T a = static_cast<T>(alpha);
  const auto floored = [](T x) { return std::max(x, static_cast<T>(kLeastProbability)); };
  T sum = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    const T pi = floored(p[i]), qi = floored(q[i]);
    switch (loss) {
      case DistilLoss::kForwardKl:
        sum += pi * std::log(pi / qi);
        g[i] = -pi / qi;
        break;
      case DistilLoss::kReverseKl:
        g[i] = std::log(qi / pi);
        sum += qi * g[i];
        break;
      case DistilLoss::kJsd: {
        const T m = a * pi + (1 - a) * qi;
        g[i] = (1 - a) * std::log(qi / m);
        sum += a * pi * std::log(pi / m) + qi * g[i];
        break;
      }
      case DistilLoss::kSkewKl: {
        const T m = a * pi + (1 - a) * qi;
        g[i] = -(1 - a) * pi / m;
        sum += pi * std::log(pi / m);
        break;
      }
      case DistilLoss::kSkewReverseKl: {
        const T m = a * qi + (1 - a) * pi;
        g[i] = std::log(qi / m) - a * qi / m;
        sum += qi * std::log(qi / m);
        break;
      }
    }
  }
  return sum;
}

// The sum of term(i) over i < n: 16 sums in lanes, which the compiler keeps in vectors, and these
// in double.
template <class T, class Term>
double sum_in_lanes(size_t n, Term&& term) {
  constexpr size_t kLanes = 16, kPart = kLanes * 16;
  const size_t whole = n - n % kPart;
  double sum = 0;
  for (size_t part = 0; part < whole; part += kPart) {
    T lanes[kLanes] = {};
    for (size_t i = part; i < part + kPart; i += kLanes) {
      for (size_t k = 0; k < kLanes; ++k) lanes[k] += term(i + k);
    }
    for (const T lane : lanes) sum += static_cast<double>(lane);
  }
  for (size_t i = whole; i < n; ++i) sum += static_cast<double>(term(i));
  return sum;
}

template <class A, class B>
double sum_of_products(std::span<const A> a, std::span<const B> b) {
  return sum_in_lanes<B>(a.size(), [&](size_t i) { return static_cast<B>(a[i]) * b[i]; });
}

struct DistilRowLoss {
  double teacher = 0;  // times T², not yet weighted
  double text = 0;     // cross-entropy of `target`, when it is one
};

// softmax(x, n, scale) puts softmax(scale x) in the place of x and returns log(sum(exp(scale x))).
//
// logits [vocab] become the gradient of teacher_weight * teacher + text_weight * text. target below
// 0: the text has no next token here. scratch [3 vocab + 2].
template <class T, class Softmax>
DistilRowLoss distil_row(const DistilOptions& options, const TeacherRow& teacher, int32_t target,
                         std::span<T> logits, std::span<T> scratch, Softmax&& softmax) {
  const size_t vocab = logits.size();
  const std::span<T> student = scratch.subspan(0, vocab);
  const std::span<T> classes_p = scratch.subspan(vocab, vocab + 1);
  const std::span<T> classes_q_and_g = scratch.subspan(2 * vocab + 1);
  const T temperature = static_cast<T>(options.temperature);
  DistilRowLoss out;

  const bool taught = teacher.kind != TeacherRow::Kind::kNothing;
  const bool all = teacher.kind == TeacherRow::Kind::kAll;
  const double loss_scale = options.temperature * options.temperature;
  T student_log_sum = 0;
  if (taught) {
    std::copy(logits.begin(), logits.end(), student.begin());
    student_log_sum = softmax(student.data(), vocab, 1 / temperature);
  }
  if (all && options.loss == DistilLoss::kForwardKl) {  // without a logarithm for every token
    const double mean =
        sum_of_products(teacher.probabilities, std::span<const T>(logits)) / options.temperature;
    out.teacher = loss_scale * (static_cast<double>(student_log_sum) - mean - teacher.entropy);
  }
  if (target >= 0) {
    const T logit = logits[static_cast<size_t>(target)];
    T log_sum = student_log_sum;
    if (taught && options.temperature == 1) {
      std::copy(student.begin(), student.end(), logits.begin());
    } else {
      log_sum = softmax(logits.data(), vocab, T{1});
    }
    out.text = static_cast<double>(log_sum) - static_cast<double>(logit);
    logits[static_cast<size_t>(target)] -= 1;
    const T weight = static_cast<T>(options.text_weight);
    for (T& x : logits) x *= weight;
  } else {
    std::fill(logits.begin(), logits.end(), T{0});
  }
  if (!taught) return out;

  // T² times the gradient with respect to the logits.
  const T scale = static_cast<T>(options.teacher_weight) * temperature;
  if (all && options.loss == DistilLoss::kForwardKl) {
    for (size_t i = 0; i < vocab; ++i) {
      logits[i] += scale * (student[i] - static_cast<T>(teacher.probabilities[i]));
    }
    return out;
  }
  if (all) {
    const std::span<T> p = classes_p.first(vocab), g = classes_q_and_g.first(vocab);
    std::copy(teacher.probabilities.begin(), teacher.probabilities.end(), p.begin());
    out.teacher = loss_scale * static_cast<double>(
                                   distil_classes<T>(options.loss, options.alpha, p, student, g));
    T mean = 0;
    for (size_t i = 0; i < vocab; ++i) mean += student[i] * g[i];
    for (size_t i = 0; i < vocab; ++i) logits[i] += scale * student[i] * (g[i] - mean);
    return out;
  }
  if (teacher.kind == TeacherRow::Kind::kDraws) {
    T total = 0;
    for (size_t c = 0; c < teacher.ids.size(); ++c) {
      const size_t id = static_cast<size_t>(teacher.ids[c]);
      const T weight = teacher.probabilities[c];
      out.teacher -= loss_scale * static_cast<double>(weight) *
                     std::log(std::max(static_cast<double>(student[id]), kLeastProbability));
      total += weight;
      logits[id] -= scale * weight;
    }
    for (size_t i = 0; i < vocab; ++i) logits[i] += scale * total * student[i];
    return out;
  }
  const size_t named = teacher.ids.size();
  const std::span<T> p = classes_p.first(named + 1), q = classes_q_and_g.first(named + 1);
  // The student's probability of all other tokens is added up: where it is sure of those that are
  // named, 1 less theirs is mostly rounding, and a ratio of probabilities follows.
  for (size_t c = 0; c < named; ++c) {
    T& of_token = student[static_cast<size_t>(teacher.ids[c])];
    p[c] = static_cast<T>(teacher.probabilities[c]);
    q[c] = std::exchange(of_token, T{0});
  }
  const T others = static_cast<T>(sum_in_lanes<T>(vocab, [&](size_t i) { return student[i]; }));
  for (size_t c = 0; c < named; ++c) student[static_cast<size_t>(teacher.ids[c])] = q[c];
  p[named] = static_cast<T>(teacher.rest);
  q[named] = others;
  // g over q: each is read before it is written.
  out.teacher =
      loss_scale * static_cast<double>(distil_classes<T>(options.loss, options.alpha, p, q, q));
  T mean = others * q[named];
  for (size_t c = 0; c < named; ++c) {
    mean += student[static_cast<size_t>(teacher.ids[c])] * q[c];
  }
  const T rest = q[named] - mean;
  for (size_t c = 0; c < named; ++c) {
    T& of_token = student[static_cast<size_t>(teacher.ids[c])];
    logits[static_cast<size_t>(teacher.ids[c])] += scale * of_token * (q[c] - mean);
    of_token = 0;
  }
  for (size_t i = 0; i < vocab; ++i) logits[i] += scale * student[i] * rest;
  return out;
}

}  // namespace axk1
