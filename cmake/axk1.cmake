# How every target of the project is built.

add_library(axk1_options INTERFACE)
target_include_directories(axk1_options INTERFACE ${PROJECT_SOURCE_DIR}/src)
# Designated initialisers leave out what keeps its default; -Wextra would warn of each.
target_compile_options(axk1_options INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor
                       -Wno-missing-field-initializers -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(axk1_options INTERFACE -Wno-restrict)  # false alarms on std::string's +
endif()
# Reassociation and contraction would make results differ between kernels that must agree bit for bit.
target_compile_options(axk1_options INTERFACE -ffp-contract=off)
if(AXK1_FUZZ STREQUAL "libfuzzer")
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "AXK1_FUZZ=libfuzzer needs clang, found ${CMAKE_CXX_COMPILER_ID}")
  endif()
  target_compile_options(axk1_options INTERFACE -fsanitize=fuzzer-no-link)
elseif(AXK1_FUZZ)
  message(FATAL_ERROR "AXK1_FUZZ: found \"${AXK1_FUZZ}\", expected nothing or libfuzzer")
endif()
if(AXK1_SANITIZE)
  target_compile_options(axk1_options INTERFACE -fsanitize=${AXK1_SANITIZE} -fno-omit-frame-pointer
                                                -fno-sanitize-recover=all)
  target_link_options(axk1_options INTERFACE -fsanitize=${AXK1_SANITIZE})
endif()

# For code whose speed does not matter. Tests and command lines are mostly templates of GoogleTest and
# CLI11, which take twice as long to compile when optimised.
set(axk1_quick_options $<$<CONFIG:Release>:-O1> $<$<CONFIG:RelWithDebInfo>:-O0>)

# axk1_precompile(TARGET HEADER): HEADER and the standard library's common ones, compiled once for the
# target. Only with AXK1_PRECOMPILE, so that the optimised build still finds a missing #include.
function(axk1_precompile target header)
  if(AXK1_PRECOMPILE)
    target_precompile_headers(${target} PRIVATE ${header} <algorithm> <functional> <map> <memory>
                              <optional> <span> <string> <vector>)
  endif()
endfunction()

# axk1_sanitized(TARGET): part of what is built and run under AddressSanitizer.
function(axk1_sanitized target)
  if(NOT TARGET sanitized_tests)
    add_custom_target(sanitized_tests)
  endif()
  add_dependencies(sanitized_tests ${target})
endfunction()

# axk1_tests(NAME DIR DEPS...): the *_test.cc files of DIR as one GoogleTest program.
function(axk1_tests name dir)
  file(GLOB tests CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${dir}/*_test.cc)
  if(NOT AXK1_BUILD_TESTS OR NOT tests)
    return()
  endif()
  add_executable(${name}_tests ${tests})
  target_link_libraries(${name}_tests PRIVATE ${ARGN} axk1_testing axk1_options GTest::gtest_main GTest::gmock)
  target_compile_options(${name}_tests PRIVATE ${axk1_quick_options})
  axk1_precompile(${name}_tests <gtest/gtest.h>)
  add_test(NAME ${name} COMMAND ${name}_tests)
  set_tests_properties(${name} PROPERTIES TIMEOUT 900)
endfunction()

# axk1_library(FOLDER [THREADS] [UNSANITIZED] [JSON] [DEPS folders...] [LINK targets...]): src/FOLDER as
# the static library axk1_FOLDER, with its *_test.cc files as the program axk1_FOLDER_tests.
# THREADS: its tests run code on several threads; they have the label `threads` and are built by
# `threaded_tests`, for ThreadSanitizer. UNSANITIZED: its tests are not built under AddressSanitizer,
# whose build takes most of the time that a change's tests may take. JSON: most of its files read JSON.
function(axk1_library folder)
  cmake_parse_arguments(ARG "THREADS;UNSANITIZED;JSON" "" "DEPS;LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${folder}/*.cc)
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  list(TRANSFORM ARG_DEPS PREPEND axk1_)
  if(sources)
    add_library(axk1_${folder} STATIC ${sources})
    target_link_libraries(axk1_${folder} PUBLIC ${ARG_DEPS} ${ARG_LINK} PRIVATE axk1_options)
    target_include_directories(axk1_${folder} PUBLIC ${PROJECT_SOURCE_DIR}/src)
    if(ARG_JSON)
      axk1_precompile(axk1_${folder} <boost/json.hpp>)
    endif()
  else()
    add_library(axk1_${folder} INTERFACE)
    target_link_libraries(axk1_${folder} INTERFACE ${ARG_DEPS} ${ARG_LINK})
    target_include_directories(axk1_${folder} INTERFACE ${PROJECT_SOURCE_DIR}/src)
  endif()
  axk1_tests(axk1_${folder} src/${folder} axk1_${folder})
  if(ARG_UNSANITIZED)
    set_property(GLOBAL APPEND PROPERTY AXK1_UNSANITIZED axk1_${folder})
  endif()
  if(TARGET axk1_${folder}_tests)
    if(ARG_UNSANITIZED)
      set_property(TEST axk1_${folder} APPEND PROPERTY LABELS unsanitized)
    else()
      axk1_sanitized(axk1_${folder}_tests)
    endif()
  endif()
  if(ARG_THREADS AND TARGET axk1_${folder}_tests)
    set_property(TEST axk1_${folder} APPEND PROPERTY LABELS threads)
    if(NOT TARGET threaded_tests)
      add_custom_target(threaded_tests)
    endif()
    add_dependencies(threaded_tests axk1_${folder}_tests)
  endif()
endfunction()

# axk1_program(NAME DIR [DEPS folders...] [LINK targets...]): DIR as a program at the top of the
# build folder. Everything but NAME_main.cc goes to a library, so that tests can link it.
function(axk1_program name dir)
  cmake_parse_arguments(ARG "" "" "DEPS;LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${dir}/*.cc)
  list(FILTER sources EXCLUDE REGEX "(_test|_main)\\.cc$")
  list(TRANSFORM ARG_DEPS PREPEND axk1_)
  add_library(${name}_apps STATIC ${sources})
  target_link_libraries(${name}_apps PUBLIC ${ARG_DEPS} ${ARG_LINK} PRIVATE axk1_options)
  target_include_directories(${name}_apps PUBLIC ${PROJECT_SOURCE_DIR}/src)
  list(FILTER sources INCLUDE REGEX "_(command|flags|options)\\.cc$")
  set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS "${axk1_quick_options}")
  add_executable(${name} ${PROJECT_SOURCE_DIR}/${dir}/${name}_main.cc)
  target_compile_options(${name} PRIVATE ${axk1_quick_options})
  target_link_libraries(${name} PRIVATE ${name}_apps axk1_options)
  target_compile_definitions(${name} PRIVATE AXK1_VERSION="${PROJECT_VERSION}")
  # Only these few files know the version: a new one does not compile everything anew.
  set_source_files_properties(${PROJECT_SOURCE_DIR}/${dir}/serve_command.cc PROPERTIES
    COMPILE_DEFINITIONS AXK1_VERSION="${PROJECT_VERSION}")
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
  axk1_tests(${name}_apps ${dir} ${name}_apps)
  if(TARGET ${name}_apps_tests)
    set_tests_properties(${name}_apps PROPERTIES LABELS unsanitized)
  endif()
endfunction()

# axk1_fuzz(NAME [DEPS folders...]): fuzz/NAME_fuzz.cc, which holds LLVMFuzzerTestOneInput.
# With AXK1_FUZZ=libfuzzer the program NAME_fuzz, to be run for as long as one likes; otherwise the
# program NAME_fuzz_smoke and the CTest fuzz.NAME, which runs the corpus and seeded mutations of it:
# in builds with sanitizers, or, for folders that these leave out, in the others.
function(axk1_fuzz name)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  list(TRANSFORM ARG_DEPS PREPEND axk1_)
  set(source ${PROJECT_SOURCE_DIR}/fuzz/${name}_fuzz.cc)
  if(AXK1_FUZZ STREQUAL "libfuzzer")
    add_executable(${name}_fuzz ${source})
    target_link_libraries(${name}_fuzz PRIVATE ${ARG_DEPS} axk1_options -fsanitize=fuzzer)
    add_dependencies(fuzzers ${name}_fuzz)
    return()
  endif()
  get_property(unsanitized GLOBAL PROPERTY AXK1_UNSANITIZED)
  set(sanitized ON)
  foreach(dep IN LISTS ARG_DEPS)
    if(dep IN_LIST unsanitized)
      set(sanitized OFF)
    endif()
  endforeach()
  if(AXK1_BUILD_TESTS AND ((AXK1_SANITIZE AND sanitized) OR NOT (AXK1_SANITIZE OR sanitized)))
    add_executable(${name}_fuzz_smoke ${source} ${PROJECT_SOURCE_DIR}/fuzz/smoke_main.cc)
    target_link_libraries(${name}_fuzz_smoke PRIVATE ${ARG_DEPS} axk1_options)
    if(sanitized)
      axk1_sanitized(${name}_fuzz_smoke)
    endif()
    add_test(NAME fuzz.${name}
             COMMAND ${name}_fuzz_smoke ${name} ${PROJECT_SOURCE_DIR}/fuzz/corpus/${name})
    set_tests_properties(fuzz.${name} PROPERTIES LABELS fuzz TIMEOUT 900)
  endif()
endfunction()

# axk1_fuzz_all(): axk1_fuzz for every fuzz/*_fuzz.cc. Its first line names the folders it links:
# "// deps: tokenizer io".
function(axk1_fuzz_all)
  if(AXK1_FUZZ)
    add_custom_target(fuzzers)
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/fuzz/*_fuzz.cc)
  foreach(source IN LISTS sources)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
    file(STRINGS ${source} first LIMIT_COUNT 1)
    if(NOT first MATCHES "^// deps: ([a-z_ ]+)$")
      message(FATAL_ERROR "${source}: the first line must be \"// deps: FOLDER...\"")
    endif()
    separate_arguments(deps UNIX_COMMAND "${CMAKE_MATCH_1}")
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "_fuzz$" "" name ${name})
    axk1_fuzz(${name} DEPS ${deps})
  endforeach()
endfunction()

# axk1_repository_checks(): scripts/check and its self-test as CTests.
function(axk1_repository_checks)
  foreach(check includes links format sizes version web)
    add_test(NAME repository.${check} COMMAND ${PROJECT_SOURCE_DIR}/scripts/check ${check})
    set_tests_properties(repository.${check} PROPERTIES LABELS repository SKIP_RETURN_CODE 77)
  endforeach()
  add_test(NAME repository.selftest COMMAND ${PROJECT_SOURCE_DIR}/scripts/check_selftest)
  set_tests_properties(repository.selftest PROPERTIES LABELS repository)
endfunction()
