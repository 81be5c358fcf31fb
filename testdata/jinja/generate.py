"""Writes cases.jsonl from cases.txt with Jinja2 itself as the oracle: one JSON object a line, with
the template, the variables and either the text Jinja2 renders or, for a template it refuses, the
kind of error. Run as `python3 generate.py` with Jinja2 3.1 installed; only when cases change."""
import datetime
import json
import sys

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(jinja2.ext.Extension):
    """{% generation %} as transformers has it: the body passes through."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_pass"), [], [], body).set_lineno(line)

    def _pass(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                      sort_keys=sort_keys)


env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                    extensions=[Generation, jinja2.ext.loopcontrols])
env.filters["tojson"] = tojson
env.globals["raise_exception"] = raise_exception
env.globals["strftime_now"] = lambda f: datetime.datetime(2024, 7, 26, 13, 5, 9).strftime(f)

group = ""
with open("cases.jsonl", "w", encoding="utf-8") as out:
    for line in open("cases.txt", encoding="utf-8", newline="\n"):
        line = line.rstrip("\n")
        if line.startswith("# ") or not line:
            continue
        if line.startswith("@ "):
            group = line[2:]
            continue
        source, _, variables = line.partition("\t")
        # \\x stands for a backslash in the template; \n, \r, \t and \uXXXX for the character.
        source = source.replace("\\\\", "\0").encode("raw_unicode_escape").decode("raw_unicode_escape")
        source = source.replace("\\n", "\n").replace("\\r", "\r").replace("\\t", "\t")
        source = source.replace("\0", "\\")
        variables = json.loads(variables) if variables else {}
        case = {"group": group, "template": source, "variables": variables}
        try:
            case["text"] = env.from_string(source).render(**variables)
            if " at 0x" in case["text"]:
                sys.exit("an address in the output of: " + source)
        except Exception as error:
            case["error"] = type(error).__name__ + ": " + str(error)
        out.write(json.dumps(case, ensure_ascii=False) + "\n")
