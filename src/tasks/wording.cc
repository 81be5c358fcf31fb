#include "tasks/wording.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/text.h"
#include "base/utf8.h"

namespace axk1::tasks {
namespace {

enum class Final : uint8_t { kNone, kRieul, kOther };

// How the last sound of a text ends when it is read in Korean.
Final final_sound(std::string_view text) {
  constexpr std::string_view kUnits[] = {"kg", "g", "t"};  // 킬로그램, 그램, 톤
  const size_t word = text.find_last_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
  const std::string_view letters = text.substr(word == std::string_view::npos ? 0 : word + 1);
  if (std::ranges::find(kUnits, letters) != std::end(kUnits)) return Final::kOther;
  if (!letters.empty()) return Final::kNone;
  while (!text.empty() && (text.back() == '"' || text.back() == '\'' || text.back() == ')')) {
    text.remove_suffix(1);
  }
  if (text.empty()) return Final::kNone;
  switch (text.back()) {
    case '1':
    case '7':
    case '8':
      return Final::kRieul;  // 일, 칠, 팔
    case '0':
    case '3':
    case '6':
      return Final::kOther;  // 영, 삼, 육; and 십, 백, 천
    default:
      break;
  }
  const std::vector<std::string> all = characters(text);
  const char32_t last = decode_utf8(all.back()).code_point;
  // Syllables are (initial * 21 + vowel) * 28 + final (Unicode 3.12); 8 is ㄹ.
  constexpr char32_t kFirst = 0xAC00, kLast = 0xD7A3;
  if (last < kFirst || last > kLast) return Final::kNone;
  const char32_t final = (last - kFirst) % 28;
  return final == 0 ? Final::kNone : final == 8 ? Final::kRieul : Final::kOther;
}

constexpr std::string_view kKoreanWords[] = {
    "사과",   "바다",   "학교",   "나무", "도서관", "자전거", "우산",   "고양이", "강아지",
    "비행기", "기차",   "연필",   "공책", "가방",   "시계",   "의자",   "책상",   "창문",
    "하늘",   "구름",   "바람",   "여름", "겨울",   "봄비",   "단풍",   "김치",   "비빔밥",
    "떡볶이", "된장",   "두부",   "감자", "고구마", "양파",   "당근",   "호박",   "수박",
    "포도",   "딸기",   "복숭아", "참외", "서울",   "부산",   "대구",   "광주",   "제주",
    "한강",   "남산",   "지하철", "버스", "정류장", "운동장", "교실",   "선생님", "친구",
    "가족",   "할머니", "동생",   "편지", "신문",   "라디오", "냉장고", "세탁기", "청소기",
    "컴퓨터", "전화기", "사진",   "그림", "노래",   "피아노", "기타",   "축구",   "야구",
    "수영",   "산책",   "여행",   "지도", "달력",   "거울",   "모자",   "장갑"};
constexpr std::string_view kEnglishWords[] = {
    "apple",   "river",    "school",   "garden",  "window",   "pencil",  "orange",   "planet",
    "bridge",  "castle",   "dragon",   "engine",  "forest",   "guitar",  "hammer",   "island",
    "jacket",  "kitten",   "ladder",   "market",  "needle",   "office",  "pepper",   "queen",
    "rabbit",  "silver",   "temple",   "valley",  "winter",   "yellow",  "zebra",    "banana",
    "carrot",  "doctor",   "eagle",    "flower",  "grape",    "honey",   "insect",   "jungle",
    "kettle",  "lemon",    "mirror",   "napkin",  "ocean",    "pillow",  "rocket",   "summer",
    "tiger",   "violin",   "wagon",    "bottle",  "candle",   "desert",  "finger",   "harbor",
    "letter",  "mountain", "notebook", "picture", "station",  "teacher", "umbrella", "village",
    "weather", "bicycle",  "cabbage",  "dolphin", "elephant", "library", "morning",  "paper",
    "radio",   "sugar",    "table",    "train",   "uncle",    "water",   "coffee",   "moon"};

}  // namespace

std::vector<std::string_view> Draw::pick_several(std::span<const std::string_view> from,
                                                 size_t count) {
  AXK1_CHECK(count <= from.size());
  std::vector<std::string_view> left(from.begin(), from.end()), drawn;
  while (drawn.size() < count) {
    const auto at = left.begin() + static_cast<std::ptrdiff_t>(below(left.size()));
    drawn.push_back(*at);
    left.erase(at);
  }
  return drawn;
}

std::string fill(std::string_view pattern, std::initializer_list<Blank> blanks) {
  std::string text;
  for (size_t at = 0; at < pattern.size();) {
    if (pattern[at] != '{') {
      text += pattern[at++];
      continue;
    }
    const size_t end = pattern.find('}', at);
    AXK1_CHECK(end != std::string_view::npos);
    const std::string_view name = pattern.substr(at + 1, end - at - 1);
    if (const size_t slash = name.find('/'); slash != std::string_view::npos) {
      const std::string_view with = name.substr(0, slash), without = name.substr(slash + 1);
      const Final final = final_sound(text);
      const bool closed = final == Final::kOther || (final == Final::kRieul && without != "로");
      text += closed ? with : without;
    } else {
      const auto* blank = std::ranges::find(blanks, name, &Blank::first);
      AXK1_CHECK(blank != blanks.end());
      text += blank->second;
    }
    at = end + 1;
  }
  return text;
}

std::string ask(Draw& draw, TaskLanguage language, std::initializer_list<std::string_view> korean,
                std::initializer_list<std::string_view> english,
                std::initializer_list<Blank> blanks) {
  return fill(draw.pick(language == TaskLanguage::kKorean ? korean : english), blanks);
}

std::vector<std::string> characters(std::string_view text) {
  std::vector<std::string> all;
  while (!text.empty()) {
    const size_t length = decode_utf8(text).length;
    all.emplace_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return all;
}

std::string join(std::span<const std::string> parts, std::string_view between) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) text += cat(i ? between : "", parts[i]);
  return text;
}

std::span<const std::string_view> korean_words() {
  return kKoreanWords;
}
std::span<const std::string_view> english_words() {
  return kEnglishWords;
}

}  // namespace axk1::tasks
