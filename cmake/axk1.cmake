# How every target of the project is built.

add_library(axk1_options INTERFACE)
target_include_directories(axk1_options INTERFACE ${PROJECT_SOURCE_DIR}/src)
# Designated initialisers leave out what keeps its default; -Wextra would warn of each.
target_compile_options(axk1_options INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor
                       -Wno-missing-field-initializers -Werror)
# Reassociation and contraction would make results differ between kernels that must agree bit for bit.
target_compile_options(axk1_options INTERFACE -ffp-contract=off)
if(AXK1_SANITIZE)
  target_compile_options(axk1_options INTERFACE -fsanitize=${AXK1_SANITIZE} -fno-omit-frame-pointer
                                                -fno-sanitize-recover=all)
  target_link_options(axk1_options INTERFACE -fsanitize=${AXK1_SANITIZE})
endif()

# axk1_tests(NAME DIR DEPS...): the *_test.cc files of DIR as one GoogleTest program.
function(axk1_tests name dir)
  file(GLOB tests CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${dir}/*_test.cc)
  if(NOT AXK1_BUILD_TESTS OR NOT tests)
    return()
  endif()
  add_executable(${name}_tests ${tests})
  target_link_libraries(${name}_tests PRIVATE ${ARGN} axk1_testing axk1_options GTest::gtest_main GTest::gmock)
  add_test(NAME ${name} COMMAND ${name}_tests)
  set_tests_properties(${name} PROPERTIES TIMEOUT 900)
endfunction()

# axk1_library(FOLDER [DEPS folders...] [LINK targets...]): src/FOLDER as the static library
# axk1_FOLDER, with its *_test.cc files as the program axk1_FOLDER_tests.
function(axk1_library folder)
  cmake_parse_arguments(ARG "" "" "DEPS;LINK" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${folder}/*.cc)
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  list(TRANSFORM ARG_DEPS PREPEND axk1_)
  if(sources)
    add_library(axk1_${folder} STATIC ${sources})
    target_link_libraries(axk1_${folder} PUBLIC ${ARG_DEPS} ${ARG_LINK} PRIVATE axk1_options)
    target_include_directories(axk1_${folder} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  else()
    add_library(axk1_${folder} INTERFACE)
    target_link_libraries(axk1_${folder} INTERFACE ${ARG_DEPS} ${ARG_LINK})
    target_include_directories(axk1_${folder} INTERFACE ${PROJECT_SOURCE_DIR}/src)
  endif()
  axk1_tests(axk1_${folder} src/${folder} axk1_${folder})
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
  add_executable(${name} ${PROJECT_SOURCE_DIR}/${dir}/${name}_main.cc)
  target_link_libraries(${name} PRIVATE ${name}_apps axk1_options)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
  axk1_tests(${name}_apps ${dir} ${name}_apps)
endfunction()
