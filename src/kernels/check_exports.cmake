# cmake -DNM=nm -DOBJECT=file.o -P check_exports.cmake: fails unless OBJECT exports exactly one
# symbol, weak ones included.
execute_process(COMMAND ${NM} --defined-only --extern-only --demangle ${OBJECT}
                OUTPUT_VARIABLE output RESULT_VARIABLE status OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "${NM} ${OBJECT}: exit ${status}")
endif()
string(REPLACE ";" "," output "${output}")
string(REPLACE "\n" ";" symbols "${output}")
list(LENGTH symbols count)
if(NOT count EQUAL 1 OR NOT output MATCHES " [RD] axk1::k[A-Za-z0-9]+$")
  message(FATAL_ERROR "${OBJECT} must export its table and nothing else, but exports:\n${output}")
endif()
message(STATUS "${output}")
