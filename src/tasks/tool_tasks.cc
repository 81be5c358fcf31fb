// Requests that one function of a list serves: which, and with what arguments.
#include <algorithm>

#include "base/text.h"
#include "tasks/wording.h"

namespace axk1::tasks {
namespace {

enum class Filler : uint8_t {
  kCity,
  kOtherCity,
  kTime,
  kPerson,
  kCount,
  kAmount,
  kDegrees,
  kWord,
  kCurrency,
  kLanguage,
  kMode,
  kRoom
};

struct Parameter {
  std::string_view name, korean, english;  // its description in both languages
  Filler filler;
};

struct Function {
  std::string_view name, korean, english;
  std::vector<Parameter> parameters;
  std::vector<std::string_view> korean_requests, english_requests;
};

const std::vector<Function>& functions() {
  static const std::vector<Function> kAll = {
      {"get_weather",
       "도시의 현재 날씨를 알려 준다",
       "Current weather of a city",
       {{"city", "도시 이름", "Name of the city", Filler::kCity}},
       {"{city} 날씨 어때?", "지금 {city}의 날씨를 알려 줘.", "{city}에 비가 오는지 확인해 줘."},
       {"What is the weather in {city}?", "Tell me the current weather in {city}.",
        "Is it raining in {city}?"}},
      {"set_alarm",
       "알람을 맞춘다",
       "Sets an alarm",
       {{"time", "시각, HH:MM", "Time, HH:MM", Filler::kTime}},
       {"{time}에 알람 맞춰 줘.", "알람을 {time}으로 설정해 줘.", "내일 {time}에 깨워 줘."},
       {"Set an alarm for {time}.", "Wake me up at {time}.", "I need an alarm at {time}."}},
      {"send_message",
       "사람에게 메시지를 보낸다",
       "Sends a message to a person",
       {{"to", "받는 사람", "Who gets it", Filler::kPerson},
        {"text", "내용", "What it says", Filler::kWord}},
       {"{to}에게 \"{text}\"라고 메시지 보내 줘.", "\"{text}\"라는 메시지를 {to}에게 전해 줘."},
       {"Send {to} the message \"{text}\".", "Text \"{text}\" to {to}."}},
      {"convert_currency",
       "금액을 다른 통화로 바꾼다",
       "Converts an amount to another currency",
       {{"amount", "금액", "Amount", Filler::kAmount},
        {"currency", "바꿀 통화", "Currency to convert to", Filler::kCurrency}},
       {"{amount}원을 {currency}로 바꾸면 얼마야?", "{amount}원은 {currency}로 얼마인지 알려 줘."},
       {"How much are {amount} won in {currency}?", "Convert {amount} won to {currency}."}},
      {"find_route",
       "두 도시 사이의 길을 찾는다",
       "Finds a route between two cities",
       {{"origin", "출발지", "Where it begins", Filler::kCity},
        {"destination", "도착지", "Where it ends", Filler::kOtherCity},
        {"mode", "교통수단", "Means of transport", Filler::kMode}},
       {"{origin}에서 {destination}까지 {mode} 길을 찾아 줘.",
        "{origin}에서 {destination}까지 {mode}{으로/로} 어떻게 가?"},
       {"Find a {mode} route from {origin} to {destination}.",
        "How do I get from {origin} to {destination} by {mode}?"}},
      {"reserve_table",
       "식당 자리를 예약한다",
       "Reserves a table in a restaurant",
       {{"people", "인원", "Number of people", Filler::kCount},
        {"time", "시각, HH:MM", "Time, HH:MM", Filler::kTime}},
       {"{time}에 {people}명 자리 예약해 줘.", "{people}명이 {time}에 갈 식당을 예약해 줘."},
       {"Book a table for {people} at {time}.", "Reserve a table at {time} for {people} people."}},
      {"set_temperature",
       "방의 온도를 맞춘다",
       "Sets the temperature of a room",
       {{"room", "방", "Room", Filler::kRoom},
        {"degrees", "섭씨 온도", "Degrees Celsius", Filler::kDegrees}},
       {"{room} 온도를 {degrees}도로 맞춰 줘.", "{room}{을/를} {degrees}도로 해 줘."},
       {"Set the {room} to {degrees} degrees.", "Make it {degrees} degrees in the {room}."}},
      {"translate",
       "낱말을 번역한다",
       "Translates a word",
       {{"text", "번역할 말", "What to translate", Filler::kWord},
        {"language", "옮길 언어", "Language to translate to", Filler::kLanguage}},
       {"\"{text}\"{을/를} {language}로 번역해 줘.", "\"{text}\"{은/는} {language}로 뭐야?"},
       {"Translate \"{text}\" to {language}.", "What is \"{text}\" in {language}?"}},
      {"search_products",
       "상품을 찾는다",
       "Searches products",
       {{"query", "찾을 상품", "What to look for", Filler::kWord},
        {"max_price", "최고 가격(원)", "Highest price in won", Filler::kAmount}},
       {"{max_price}원 이하의 {query} 찾아 줘.",
        "{query}{을/를} 사고 싶어. {max_price}원까지 괜찮아."},
       {"Find a {query} for at most {max_price} won.",
        "Search for {query} up to {max_price} won."}},
      {"set_timer",
       "타이머를 켠다",
       "Starts a timer",
       {{"minutes", "분", "Minutes", Filler::kDegrees}},
       {"{minutes}분 타이머 켜 줘.", "{minutes}분 뒤에 알려 줘."},
       {"Start a timer of {minutes} minutes.", "Tell me when {minutes} minutes are over."}},
  };
  return kAll;
}

json::value draw_value(Draw& draw, const Task& task, Filler filler) {
  const bool korean = task.language == TaskLanguage::kKorean;
  const auto text = [&](std::initializer_list<std::string_view> in_korean,
                        std::initializer_list<std::string_view> in_english) {
    return json::value(draw.pick(korean ? in_korean : in_english));
  };
  switch (filler) {
    case Filler::kCity:
      return text({"서울", "부산", "대구", "인천", "광주", "대전", "제주", "강릉"},
                  {"Seoul", "Busan", "London", "Paris", "Tokyo", "Berlin", "Sydney", "Toronto"});
    case Filler::kOtherCity:
      return text({"수원", "울산", "전주", "여수", "춘천", "포항"},
                  {"Daegu", "Oxford", "Lyon", "Osaka", "Hamburg", "Ottawa"});
    case Filler::kTime: {
      const int64_t hour = draw.between(6, 22), minute = draw.between(0, 11) * 5;
      return json::value(cat(hour < 10 ? "0" : "", hour, ":", minute < 10 ? "0" : "", minute));
    }
    case Filler::kPerson:
      return text({"민수", "지영", "서준", "하은", "엄마", "김 대리"},
                  {"Anna", "Ben", "Clara", "David", "Mum", "Mr Kim"});
    case Filler::kCount:
      return json::value(draw.between(2, 12));
    case Filler::kAmount:
      return json::value(draw.between(1, 99) * 1000);
    case Filler::kDegrees:
      return json::value(draw.between(16, 29));
    case Filler::kWord:
      return json::value(draw.pick(korean ? korean_words() : english_words()));
    case Filler::kCurrency:
      return text({"달러", "유로", "엔화"}, {"dollars", "euros", "yen"});
    case Filler::kLanguage:
      return text({"영어", "일본어", "중국어", "프랑스어"},
                  {"Korean", "Japanese", "Chinese", "French"});
    case Filler::kMode:
      return text({"기차", "버스", "자동차"}, {"train", "bus", "car"});
    case Filler::kRoom:
      return text({"거실", "침실", "부엌", "서재"}, {"living room", "bedroom", "kitchen", "study"});
  }
  return {};
}

bool is_number(Filler filler) {
  return filler == Filler::kCount || filler == Filler::kAmount || filler == Filler::kDegrees;
}

json::object description(const Function& function, bool korean) {
  json::object properties;
  json::array required;
  for (const Parameter& p : function.parameters) {
    properties[p.name] = json::object{{"type", is_number(p.filler) ? "integer" : "string"},
                                      {"description", korean ? p.korean : p.english}};
    required.emplace_back(p.name);
  }
  return {
      {"type", "function"},
      {"function", json::object{{"name", function.name},
                                {"description", korean ? function.korean : function.english},
                                {"parameters", json::object{{"type", "object"},
                                                            {"properties", std::move(properties)},
                                                            {"required", std::move(required)}}}}}};
}

// `pattern` with the names of parameters replaced; particles as fill() chooses them.
std::string request(std::string_view pattern, const std::vector<Blank>& values) {
  switch (values.size()) {
    case 1:
      return fill(pattern, {values[0]});
    case 2:
      return fill(pattern, {values[0], values[1]});
    default:
      return fill(pattern, {values[0], values[1], values[2]});
  }
}

}  // namespace

void make_tool_call(Draw& draw, Task& task) {
  const bool korean = task.language == TaskLanguage::kKorean;
  const std::vector<Function>& all = functions();
  const Function& function = draw.pick(all);
  json::object arguments;
  std::vector<Blank> blanks;
  for (const Parameter& p : function.parameters) {
    const json::value value = draw_value(draw, task, p.filler);
    blanks.emplace_back(
        p.name, value.is_string() ? std::string(value.get_string()) : cat(value.get_int64()));
    arguments[p.name] = value;
  }
  task.question =
      request(draw.pick(korean ? function.korean_requests : function.english_requests), blanks);
  std::vector<const Function*> listed = {&function};
  for (int64_t others = draw.between(0, 2); others > 0; --others) {
    const Function* other = &draw.pick(all);
    if (std::ranges::find(listed, other) == listed.end()) listed.push_back(other);
  }
  std::swap(listed[0], listed[draw.below(listed.size())]);
  for (const Function* f : listed) task.tools.push_back(description(*f, korean));
  task.reasoning = std::string(function.name);
  for (const Blank& blank : blanks) task.reasoning += cat("\n", blank.first, ": ", blank.second);
  task.answer =
      json::to_text(json::object{{"name", function.name}, {"arguments", std::move(arguments)}});
  task.problem = cat("tool_call ", task.answer);
}

}  // namespace axk1::tasks
