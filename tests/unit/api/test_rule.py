"""A rule has one text: as a finding of the validator, and as a message of the API server."""

from finetune_api.rule import Rule, exactly_one, found, one_at_most

RULE = Rule(
    "self.a == 'x'",
    path="b.c",
    value="self.b.c",
    message='belongs to "x"',
    detail=", and it isn't {other}",
    words={"other": "self.a"},
    remedy="Remove it",
)


def test_a_finding_says_the_message_with_its_words():
    assert RULE.says(other="y") == 'belongs to "x", and it isn\'t y'


def test_the_api_server_puts_value_and_words_between_the_same_texts():
    assert RULE.in_cel() == {
        "rule": "self.a == 'x'",
        "fieldPath": ".b.c",
        "message": 'belongs to "x". Remove it.',
        "messageExpression": 'self.b.c + " belongs to \\"x\\", and it isn\'t " + (self.a) + ". Remove it."',
    }


def test_a_rule_without_values_needs_no_expression():
    assert "messageExpression" not in Rule("true", message="is required", remedy="Set it").in_cel()


def test_a_condition_waives_the_whole_rule():
    rule = Rule("a || b", message="m", remedy="r").in_cel(unless="has(self.preset)")["rule"]
    assert rule == "has(self.preset) || (a || b)"


def test_its_field_stands_below_the_object_that_it_is_about():
    assert (RULE.at(""), RULE.at("d[0]")) == ("b.c", "d[0].b.c")
    assert Rule("true", message="m", remedy="r").at("d[0]") == "d[0]"


def test_exactly_one_of_several_fields_is_counted_and_named():
    rule = exactly_one("data", ("path", "hub"))
    assert rule.holds == "[has(self.path), has(self.hub)].filter(present, present).size() == 1"
    assert rule.says(found=found(["path", "hub"])) == (
        "data comes from exactly one place, and path and hub are set"
    )
    assert rule.says(found=found([])) == "data comes from exactly one place, and none is set"
    assert ("(has(self.hub) ? (has(self.path) ? ' and ' : '') + 'hub' : '')") in rule.words["found"]


def test_of_a_section_the_fields_are_looked_up_there():
    rule = exactly_one("a model", ("id", "path"), "model", unless="!has(self.model)")
    assert rule.holds.startswith("!has(self.model) || [has(self.model.id), has(self.model.path)]")
    assert rule.path == "model"


def test_at_most_one_may_be_none():
    assert one_at_most("a tokenizer", ("id", "path")).holds.endswith(".size() <= 1")
