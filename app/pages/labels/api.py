"""Labels and comments as JSON."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from app.pages.labels import said, schema
from app.store.written.label_rows import check_feature
from app.web.routes import PatientRoute
from app.web.schema import ERRORS
from app.web.site import TheDictionary, TheSite

router = APIRouter(
    prefix="/api/v1/d/{model}/{dictionary}/{index}",
    tags=["labels"],
    responses=ERRORS,
    route_class=PatientRoute,
)


def _label(view: Any) -> schema.Label:
    return schema.Label.model_validate(view)


@router.get("/labels")
def said_of(dictionary: TheDictionary, index: int, site: TheSite) -> schema.SaidOfFeature:
    """All labels of a feature, and all comments on it and on its examples.

    \f
    For example /api/v1/d/demo/mlp-4096/12/labels
    """
    check_feature(dictionary, index)
    return schema.SaidOfFeature(
        labels=[_label(view) for view in site.store.labels.of(dictionary, index)],
        comments=[
            schema.Comment.model_validate(view)
            for view in site.store.comments.of(dictionary, index)
        ],
    )


@router.post("/labels")
def create(
    dictionary: TheDictionary, index: int, question: schema.LabelQuestion, site: TheSite
) -> schema.Label:
    """Say what a feature means. The same said twice by the same author is one label.

    \f
    For example /api/v1/d/demo/mlp-4096/12/labels
    with {"text": "the first argument of a method", "author": "Ada"}
    """
    return _label(
        site.store.labels.add(dictionary, index, question.text, question.note, question.author)
    )


@router.put("/labels/{label}")
def edit(
    dictionary: TheDictionary,
    index: int,
    label: str,
    question: schema.LabelEditQuestion,
    site: TheSite,
) -> schema.LabelEdited:
    """Change a label. Where somebody else did so meanwhile, both texts are kept.

    \f
    For example /api/v1/d/demo/mlp-4096/12/labels/0123
    with {"text": "self", "author": "Ada", "version": 1}
    """
    kept = site.store.labels.edit(
        dictionary, index, label, question.version, question.text, question.note, question.author
    )
    beside = None if kept.beside is None else _label(kept.beside)
    return schema.LabelEdited(label=_label(kept.label), beside=beside)


@router.get("/labels/{label}/history")
def history(
    dictionary: TheDictionary, index: int, label: str, site: TheSite
) -> schema.LabelHistory:
    """All that a label was, the newest first.

    \f
    For example /api/v1/d/demo/mlp-4096/12/labels/0123/history
    """
    versions = site.store.labels.history(dictionary, index, label)
    return schema.LabelHistory(
        versions=[schema.LabelStateAnswer.model_validate(version) for version in versions]
    )


@router.post("/labels/{label}/withdraw")
def withdraw(
    dictionary: TheDictionary,
    index: int,
    label: str,
    question: schema.SignatureQuestion,
    site: TheSite,
) -> schema.Label:
    """Take a label back. It stays in the store.

    \f
    For example /api/v1/d/demo/mlp-4096/12/labels/0123/withdraw
    with {"author": "Ada"}
    """
    return _label(site.store.labels.withdraw(dictionary, index, label, question.author))


@router.post("/labels/{label}/restore")
def restore(
    dictionary: TheDictionary,
    index: int,
    label: str,
    question: schema.RestoreQuestion,
    site: TheSite,
) -> schema.Label:
    """Make a label what it was: undo an edit, or bring back what was taken back.

    \f
    For example /api/v1/d/demo/mlp-4096/12/labels/0123/restore
    with {"author": "Ada"}
    """
    return _label(
        site.store.labels.restore(dictionary, index, label, question.version, question.author)
    )


@router.put("/labels/{label}/vote")
def vote(
    dictionary: TheDictionary,
    index: int,
    label: str,
    question: schema.VoteQuestion,
    site: TheSite,
) -> schema.Label:
    """Vote for a label or against it. The best label stands for the feature everywhere.

    \f
    For example /api/v1/d/demo/mlp-4096/12/labels/0123/vote
    with {"author": "Ada", "value": 1}
    """
    return _label(site.store.labels.vote(dictionary, index, label, question.author, question.value))


@router.post("/comments")
def comment(
    dictionary: TheDictionary, index: int, question: schema.CommentQuestion, site: TheSite
) -> schema.Comment:
    """Comment on a feature, or, with `group` and `number`, on one of its examples.

    \f
    For example /api/v1/d/demo/mlp-4096/12/comments
    with {"text": "only in docstrings", "author": "Ada", "group": "top", "number": 0}
    """
    kept = said.comment(
        site, dictionary, index, question.text, question.author, question.group, question.number
    )
    return schema.Comment.model_validate(kept)


@router.post("/comments/{comment}/withdraw")
def withdraw_comment(
    dictionary: TheDictionary, index: int, comment: str, site: TheSite
) -> schema.Comment:
    """Take a comment back. It stays in the store.

    \f
    For example /api/v1/d/demo/mlp-4096/12/comments/0123/withdraw
    """
    return schema.Comment.model_validate(site.store.comments.withdraw(dictionary, index, comment))


@router.post("/comments/{comment}/restore")
def restore_comment(
    dictionary: TheDictionary, index: int, comment: str, site: TheSite
) -> schema.Comment:
    """Bring a comment back.

    \f
    For example /api/v1/d/demo/mlp-4096/12/comments/0123/restore
    """
    return schema.Comment.model_validate(
        site.store.comments.withdraw(dictionary, index, comment, withdrawn=False)
    )
