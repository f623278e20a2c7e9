"""What the terms on the pages mean: once, for headings and for the glossary."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """An entry of the glossary.

    Attributes:
        key: its name in addresses and templates.
        name: the term itself.
        short: what it means, in about two lines, as headings show it.
        more: what else is worth knowing: how it is computed, what it does not say.
    """

    key: str
    name: str
    short: str
    more: str = ""


GLOSSARY: tuple[Term, ...] = (
    Term(
        "feature",
        "Feature",
        "One direction that a dictionary found in a model's activations, with a number that says "
        "how strongly it is present at each token: mostly 0.",
        "A feature has no name of its own: what it means is what its contexts have in common, what "
        "it predicts, and what happens where it is taken away.",
    ),
    Term(
        "dictionary",
        "Dictionary",
        "A sparse autoencoder: it writes each activation of the model as a sum of few features out "
        "of thousands.",
        "What the sum leaves over is its error. The neuron basis, where each neuron is a feature "
        "of its own, is kept beside it for comparison.",
    ),
    Term(
        "hook-point",
        "Hook point",
        "The place in the model whose activation the dictionary reads, such as the neurons of "
        "block 0's MLP.",
    ),
    Term(
        "transcoder",
        "Transcoder",
        "A dictionary that reads one activation and writes another: the MLP's output as a sum of "
        "few features of the MLP's input, so that each feature stands for a part of what the MLP "
        "does.",
        "Where it fires is read at its input. Taking a feature out, steering it, and every loss of "
        "its evaluation change its output: what it leaves over there stays. A skip connection is "
        "a linear map of the input, added to the sum.",
    ),
    Term(
        "activation",
        "Activation",
        "How strongly a feature fires on a token, never negative, in units of the model's own "
        "activation. Orange behind a token; deeper orange is more.",
        "The orange is relative to the feature's own maximum in the harvest.",
    ),
    Term(
        "activations",
        "Activations",
        "Of all tokens on which it fires: how many do so how strongly. Counts are on a logarithmic "
        "scale.",
        "Forty equal buckets from 0 to the maximum. Tokens on which it does not fire, nearly all, "
        "are not drawn.",
    ),
    Term(
        "density",
        "Density",
        "The share of all tokens read on which the feature fires, with a 95 % interval over "
        "documents.",
        "Beginnings of texts and other special tokens never count. A feature that fires on most "
        "tokens rarely means one thing; one that fires on hardly any may be rare, or noise.",
    ),
    Term(
        "dead",
        "Dead",
        "A feature that fired on none of the tokens read.",
        "It may still fire on other text: its page says in how few documents at most.",
    ),
    Term(
        "summary",
        "The line in words",
        "Counts, not a label: the tokens it fires on, those before them, and the token it helps to "
        "predict most.",
        "A share of at least nine tenths is stated plainly, one of at least half as “mostly”; "
        "below that the line says “many tokens”. No language model is asked.",
    ),
    Term(
        "fires-on",
        "Fires on",
        "The ten tokens that it fires on most, of all of its firings in the harvest, each with its "
        "share of them.",
        "A token that is common in the text is common here: compare its share with that of other "
        "features.",
    ),
    Term(
        "fires-after",
        "After",
        "The ten tokens that stand directly before those it fires on, with their shares of all of "
        "its firings.",
        "Nothing stands before the first token of a window, so shares may add up to less than one.",
    ),
    Term(
        "lands-on",
        "Effect lands on",
        "In each top context, the token whose prediction suffers most when the feature is taken "
        "away: how much, in nats, and in which share of the contexts.",
        "The sum of share times nats over these tokens is the mean effect.",
    ),
    Term(
        "mean-effect",
        "Mean effect",
        "The mean, over its top contexts, of the largest rise in loss that taking the feature away "
        "makes at any token there, in nats.",
        "It looks at the strongest contexts and at the best token of each alone, so it says how "
        "much a feature can help, not what removing it costs on average. Computed by "
        "`featurescope harvest … --ablate`.",
    ),
    Term(
        "underlines",
        "Underlines",
        "What taking the feature away changes: a blue line where the token becomes harder to "
        "predict, a dashed red one where easier. Thicker is more.",
        "The activation x is replaced by x − a·d at every token of the context, and the model runs "
        "on from there. The change is log p before minus log p after, in nats; 0.69 nats halve a "
        "probability. Nothing before the first firing can change.",
    ),
    Term(
        "top",
        "Top activations",
        "The documents in which it fires most strongly, one context each, aligned on the strongest "
        "token.",
        "The strongest contexts look purest. Read the bands below them before you believe a "
        "meaning.",
    ),
    Term(
        "bands",
        "Bands",
        "Eleven equal ranges between the maximum and 0, five random contexts from each, with the "
        "range's share of all firings.",
        "Most firings lie in the weak bands: a meaning that holds only at the top describes few of "
        "them.",
    ),
    Term(
        "weakest",
        "Weakest",
        "The documents in which it fires most weakly, but does fire.",
    ),
    Term(
        "logit-weights",
        "Logit weights",
        "How much one unit of activation adds to the logit of each token of the vocabulary, by the "
        "direct path through the output weights.",
        "The path through later layers is not in it; what ablation changes is. Centred over the "
        "vocabulary, with the final norm's scale folded in.",
    ),
    Term(
        "raises",
        "Raises",
        "The ten tokens whose logits it raises most, by the direct path: logits per unit of "
        "activation.",
    ),
    Term(
        "lowers",
        "Lowers",
        "The ten tokens whose logits it lowers most, by the direct path: logits per unit of "
        "activation.",
    ),
    Term(
        "neurons",
        "Neurons",
        "The largest entries of the feature's direction: the neurons that it is made of, each with "
        "its share of the direction's absolute sum.",
    ),
    Term(
        "written-by",
        "Written by",
        "The features whose directions have their largest entries at this neuron.",
    ),
    Term(
        "nearest",
        "Nearest",
        "Features of this dictionary whose directions point the same way: 1 is the same direction, "
        "0 is at right angles.",
    ),
    Term(
        "twins",
        "Twins",
        "In each dictionary that was compared with this one, the feature most like this one; in "
        "brackets where it is less alike than what counts as found again.",
        "By the correlation of activations over one text; ⇄ where each is the other's best match.",
    ),
    Term(
        "found-again",
        "Found again",
        "A feature counts as found again where its best match in the other dictionary is at least "
        "as alike as a bar (0.7 unless told otherwise), and more than matches by chance are.",
        "By chance: activations moved along the text, and as many random directions with the same "
        "second moments; the threshold is what one of a hundred such matches exceeds. Features "
        "that never fire on the text, or on fewer than 10 tokens, have no correlation; they count "
        "apart.",
    ),
    Term(
        "splitting",
        "Splitting",
        "A larger dictionary's features whose best match in a smaller one is the same feature: "
        "what was one meaning there is several here.",
        "Only matches that are above the null's threshold count.",
    ),
    Term(
        "fires-with",
        "Fires with",
        "Features that fire on the same tokens: the tokens of both over those of either, and the "
        "share of this one's firings.",
    ),
    Term(
        "test",
        "Test on your own text",
        "Type or paste a text: where the feature fires on it, at once, with what taking it away "
        "changes.",
        "The best check of a hypothesis: write a text that should fire, and one that should not.",
    ),
    Term(
        "labels",
        "Labels",
        "What people say that a feature means, in words. The one with the most votes stands beside "
        "its number everywhere; of equal ones the newest.",
        "Every change is kept and can be undone. Labels follow the dictionary's weights: a new "
        "harvest, another name and a removal leave them as they are.",
    ),
    Term(
        "rule",
        "Rule",
        "A few conditions on a token and its neighbours, learnt from half of the documents, that "
        "say where a feature fires. A rule can be executed, so it can be wrong.",
        "Precision, recall, F1 and correlation are measured on the other half. Beside them stand "
        "the best single token, and what the same learner reaches for shuffled firings of features "
        "about as frequent: a rule that does not do better is not above its null.",
    ),
    Term(
        "explanation",
        "Explanation",
        "A label that a language model wrote when it was shown excerpts in which the feature "
        "fires, tried by judges on documents that it was not shown.",
        "Judges are other questions to a language model: detection asks in which excerpts the "
        "feature fires, fuzzing whether the right tokens are marked. Beside each score "
        "stands what another feature's label gets on the same excerpts, and what random "
        "directions get that fire as often: a label that does not do better says nothing of this "
        "feature.",
    ),
    Term(
        "l0",
        "L0",
        "The mean number of features that fire on a token.",
    ),
    Term(
        "fvu",
        "FVU",
        "Fraction of variance unexplained: the squared error of the dictionary over the variance "
        "of the activation. 0 is perfect.",
    ),
    Term(
        "extra-loss",
        "Extra loss",
        "The loss added where the activation is replaced by its reconstruction, as a share of the "
        "loss added by zeroing it.",
    ),
    Term(
        "steering",
        "Steering",
        "Adding to, holding or scaling a feature while the model writes, and reading how the text "
        "changes.",
        "Strengths are in multiples of the feature's maximum in the harvest. Too much breaks any "
        "text: compare with a random direction of the same length.",
    ),
    Term(
        "chat-template",
        "Chat template",
        "How a model was trained to read conversations: which control tokens and words stand "
        "around what each side says.",
        "What it writes is not what anybody said: its tokens count in no level of a trait, and can "
        "be left out of steering.",
    ),
    Term(
        "trait",
        "Trait",
        "A list of features that is followed as one: its level on a token is the mean over them of "
        "activation by maximum.",
        "A level of 1 would be every feature at the largest activation of its harvest. The level "
        "of a turn is the mean over what is said in it.",
    ),
    Term(
        "attribution-graph",
        "Attribution graph",
        "What a prediction is made of on one prompt: nodes that add to each other, from the tokens "
        "through features to the logits. An edge is what one node adds to another.",
        "Edges are exact for the model with its attention patterns and the denominators of its "
        "norms held as they were; how far the model itself agrees is measured by taking nodes out.",
    ),
    Term(
        "influence",
        "Influence",
        "The share of a graph's targets that reaches a node along all paths, where each node "
        "passes on what it has in proportion to the sizes of its inputs.",
        "Pruning keeps the fewest nodes that carry a share of all influence. Sizes count, signs do "
        "not: a node that takes away has influence, too.",
    ),
    Term(
        "replacement-score",
        "Replacement and completeness score",
        "Of what reaches tokens and errors of a graph, the share that reaches tokens; and the "
        "share of nodes' inputs that are no errors, weighted by influence. 1: no error matters.",
    ),
    Term(
        "nat",
        "Nat",
        "The unit of loss: minus the natural logarithm of the probability of the token that came. "
        "0.69 nats halve a probability, 2.3 divide it by ten.",
    ),
)

_TERMS = {term.key: term for term in GLOSSARY}


def term(key: str) -> Term:
    """The entry of that name; templates name only those that exist."""
    return _TERMS[key]
