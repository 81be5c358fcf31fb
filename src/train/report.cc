#include "train/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>

#include "base/text.h"

namespace axk1 {
namespace {

struct Point {
  double x, y;
};

struct Curve {
  std::string name;
  const char* colour;
  std::vector<Point> points;
};

struct Picture {
  std::string title;
  std::vector<Curve> curves;
};

constexpr double kWidth = 640, kHeight = 240;
constexpr double kLeft = 62, kRight = 12, kTop = 12, kBottom = 26;

std::string short_number(double value) {
  char text[32];
  const double size = std::abs(value);
  if (size >= 1e5 || (size > 0 && size < 1e-3)) {
    std::snprintf(text, sizeof text, "%.3g", value);
  } else {
    std::snprintf(text, sizeof text, "%.4g", value);
  }
  return text;
}

std::string coordinate(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

using Measure = std::function<double(const StepMetrics&)>;

// NaN: the step has no such value.
std::vector<Point> points_of(std::span<const StepMetrics> history, const Measure& measure) {
  std::vector<Point> points;
  for (const StepMetrics& step : history) {
    const double y = measure(step);
    if (std::isfinite(y)) points.push_back({static_cast<double>(step.step), y});
  }
  const size_t group = (points.size() + kReportPoints - 1) / kReportPoints;
  if (group <= 1) return points;
  std::vector<Point> thinned;
  for (size_t at = 0; at < points.size(); at += group) {
    const size_t n = std::min(group, points.size() - at);
    double sum = 0;
    for (size_t i = at; i < at + n; ++i) sum += points[i].y;
    thinned.push_back({points[at + n - 1].x, sum / static_cast<double>(n)});
  }
  return thinned;
}

// A step of 1, 2 or 5 times a power of ten that cuts the range into at most `most` parts.
double tick_step(double range, int most) {
  const double power = std::pow(10, std::floor(std::log10(range / most)));
  for (double factor : {1.0, 2.0, 5.0}) {
    if (range / (power * factor) <= most) return power * factor;
  }
  return power * 10;
}

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void take(double v) {
    low = std::min(low, v);
    high = std::max(high, v);
  }
  void widen() {
    if (!(low < high)) {
      const double room = low == 0 ? 1 : std::abs(low) / 2;
      low -= room;
      high += room;
    }
  }
};

std::string svg_of(const Picture& picture) {
  Range xs, ys;
  for (const Curve& curve : picture.curves) {
    for (const Point& p : curve.points) {
      xs.take(p.x);
      ys.take(p.y);
    }
  }
  if (!(xs.low <= xs.high)) return "";
  xs.widen();
  ys.widen();
  const auto x_of = [&](double x) {
    return kLeft + (x - xs.low) / (xs.high - xs.low) * (kWidth - kLeft - kRight);
  };
  const auto y_of = [&](double y) {
    return kHeight - kBottom - (y - ys.low) / (ys.high - ys.low) * (kHeight - kTop - kBottom);
  };
  std::string out =
      cat("<figure><figcaption>", html_escape(picture.title), "</figcaption><svg viewBox=\"0 0 ",
          kWidth, " ", kHeight, "\" role=\"img\">");
  const double y_step = tick_step(ys.high - ys.low, 5);
  for (double y = std::ceil(ys.low / y_step) * y_step; y <= ys.high; y += y_step) {
    out +=
        cat("<path class=\"grid\" d=\"M", kLeft, " ", coordinate(y_of(y)), "H", kWidth - kRight,
            "\"/><text x=\"", kLeft - 6, "\" y=\"", coordinate(y_of(y) + 4),
            "\" text-anchor=\"end\">", short_number(std::abs(y) < y_step / 2 ? 0 : y), "</text>");
  }
  const double x_step = tick_step(xs.high - xs.low, 8);
  for (double x = std::ceil(xs.low / x_step) * x_step; x <= xs.high; x += x_step) {
    out += cat("<text x=\"", coordinate(x_of(x)), "\" y=\"", kHeight - 8,
               "\" text-anchor=\"middle\">", short_number(x), "</text>");
  }
  double legend = kLeft + 8;
  for (const Curve& curve : picture.curves) {
    if (curve.points.empty()) continue;
    std::string path;
    for (const Point& p : curve.points) {
      path += cat(path.empty() ? "M" : "L", coordinate(x_of(p.x)), " ", coordinate(y_of(p.y)));
    }
    out += cat("<path d=\"", path, "\" fill=\"none\" stroke=\"", curve.colour,
               "\" stroke-width=\"1.5\"/>");
    if (curve.points.size() == 1) {
      out += cat("<circle cx=\"", coordinate(x_of(curve.points[0].x)), "\" cy=\"",
                 coordinate(y_of(curve.points[0].y)), "\" r=\"3\" fill=\"", curve.colour, "\"/>");
    }
    if (picture.curves.size() > 1) {
      out += cat("<text x=\"", legend, "\" y=\"", kTop + 12, "\" fill=\"", curve.colour, "\">",
                 html_escape(curve.name), "</text>");
      legend += 9.0 * static_cast<double>(curve.name.size()) + 16;
    }
  }
  return out + "</svg></figure>\n";
}

constexpr const char* kStyle =
    "body{font:15px/1.45 system-ui,sans-serif;max-width:1360px;margin:2rem auto;padding:0 1rem;"
    "color:#222;background:#fff}"
    "figure{display:inline-block;width:100%;max-width:660px;margin:0 0 1rem}"
    "figcaption{font-weight:600}svg{width:100%;height:auto}svg text{font-size:11px;fill:#555}"
    ".grid{stroke:#e3e3e3;fill:none}td{padding:.1rem 1rem .1rem 0}"
    "@media (prefers-color-scheme:dark){body{color:#ddd;background:#161616}"
    "svg text{fill:#aaa}.grid{stroke:#333}}";

}  // namespace

std::string report_html(const RunReport& report, std::span<const StepMetrics> history) {
  const auto curve = [&](const char* name, const char* colour, const Measure& measure) {
    return Curve{name, colour, points_of(history, measure)};
  };
  constexpr const char *kBlue = "#2f6fdb", *kOrange = "#d9731a", *kGreen = "#2a9148";
  const double none = std::numeric_limits<double>::quiet_NaN();
  const auto of_rl = [&](double RlMetrics::*value) {
    return [value, none](const StepMetrics& m) { return m.rl ? (*m.rl).*value : none; };
  };
  const Picture pictures[] = {
      {"Reward",
       {curve("training", kBlue, of_rl(&RlMetrics::reward)),
        curve("held out", kOrange,
              [&](const StepMetrics& m) {
                return m.rl ? m.rl->held_out_reward.value_or(none) : none;
              })}},
      {"Share of answers in the mode that was asked for",
       {curve("", kGreen, of_rl(&RlMetrics::mode_obedience))}},
      {"Entropy, nats per token", {curve("", kGreen, of_rl(&RlMetrics::entropy))}},
      {"Tokens of an answer", {curve("", kBlue, of_rl(&RlMetrics::answer_tokens))}},
      {"Importance ratio", {curve("", kBlue, of_rl(&RlMetrics::ratio))}},
      {"Share of answers clipped", {curve("", kOrange, of_rl(&RlMetrics::clip_fraction))}},
      {"Loss, nats per token",
       {curve("training", kBlue, [](const StepMetrics& m) { return m.loss; }),
        curve("held out", kOrange,
              [&](const StepMetrics& m) { return m.held_out_loss.value_or(none); }),
        curve("multi-token prediction", kGreen,
              [&](const StepMetrics& m) { return m.mtp_loss.value_or(none); })}},
      {"Held-out bits per byte",
       {curve("", kOrange, [&](const StepMetrics& m) { return m.bits_per_byte.value_or(none); })}},
      {"Learning rate", {curve("", kBlue, [](const StepMetrics& m) { return m.learning_rate; })}},
      {"Norm of the gradient before clipping",
       {curve("", kBlue, [](const StepMetrics& m) { return m.grad_norm; })}},
      {"Tokens per second",
       {curve("", kGreen, [](const StepMetrics& m) { return m.tokens_per_second; })}},
      {"Balance of experts: largest load / mean load - 1, mean over layers",
       {curve("", kBlue, [](const StepMetrics& m) { return m.max_vio; })}},
      {"Experts without a token in a step",
       {curve("", kOrange,
              [](const StepMetrics& m) { return static_cast<double>(m.dead_experts); })}},
      {"Router entropy, nats",
       {curve("", kGreen, [](const StepMetrics& m) { return m.router_entropy; })}},
      {"Steps skipped",
       {curve("", kOrange,
              [](const StepMetrics& m) { return static_cast<double>(m.skipped_steps); })}},
  };
  std::string out =
      cat("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
          "<meta name=\"viewport\" content=\"width=device-width\"><title>",
          html_escape(report.title), "</title><style>", kStyle, "</style></head><body>\n<h1>",
          html_escape(report.title), "</h1>\n<table>");
  for (const auto& [name, value] : report.facts) {
    out += cat("<tr><td>", html_escape(name), "</td><td>", html_escape(value), "</td></tr>\n");
  }
  out += "</table>\n";
  for (const Picture& picture : pictures) out += svg_of(picture);
  return out + "</body></html>\n";
}

}  // namespace axk1
