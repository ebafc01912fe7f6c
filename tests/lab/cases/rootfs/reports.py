"""Checks the reports of the case `mixed` of ci.sh: reports.py DIRECTORY."""
import json, os, sys
import xml.etree.ElementTree as ElementTree

where = sys.argv[1]
wanted = {
    ("panics", "one"): "passed", ("panics", "two"): "failed",
    ("hangs", "one"): "failed", ("hangs", "two"): "passed",
    ("flaky", "one"): "flaky", ("flaky", "two"): "passed",
}


def check(what, is_so, *shown):
    if not is_so:
        sys.exit(f"{what} is wrong: {shown}")


root = ElementTree.parse(os.path.join(where, "junit.xml")).getroot()
check("the root's counts", (root.get("tests"), root.get("failures"), root.get("errors")) == ("6", "2", "0"), root.attrib)
cases = {tuple(c.get("classname").split(".")[-2:]): c for c in root.iter("testcase")}
check("the set of cases", set(cases) == set(wanted), set(cases))
for name, verdict in wanted.items():
    children = [child.tag for child in cases[name] if child.tag not in ("system-out", "system-err", "properties")]
    expected = {"passed": [], "failed": ["failure"], "flaky": ["flakyFailure"]}[verdict]
    check(f"{name} in junit.xml", children == expected, children)
check("the panic's text", "sysrq triggered crash" in "".join(cases["panics", "two"].itertext()), ElementTree.tostring(cases["panics", "two"]))

lines = [json.loads(line) for line in open(os.path.join(where, "results.jsonl"))]
check("results.jsonl", {(r["kernel"], r["machine"]): r["verdict"] for r in lines} == wanted, lines)
for r in lines:
    last = r["attempts"][-1]
    ends = {("panics", "two"): ("panic", 255), ("hangs", "one"): ("timeout", 124)}.get((r["kernel"], r["machine"]), ("exited", 0))
    check(f"{r['name']}'s end", (last["ended"], last["status"]) == ends, last)
    for attempt in r["attempts"]:
        log = attempt["log"] if os.path.isabs(attempt["log"]) else os.path.join(where, attempt["log"])
        text = open(log, errors="replace").read()
        check(f"{log}", "Linux version" in text and f"on {r['machine']}" in text, text[-2000:])
check("the flaky one's attempts", [len(r["attempts"]) for r in lines if r["verdict"] == "flaky"] == [2], lines)

ktap = open(os.path.join(where, "results.ktap")).read()
results = [line.strip() for line in ktap.splitlines() if line.strip().startswith(("ok ", "not ok ")) and " - work" in line]
check("results.ktap", ktap.startswith("KTAP version 1") and [r.startswith("not") for r in results].count(True) == 2 and len(results) == 6, ktap)
