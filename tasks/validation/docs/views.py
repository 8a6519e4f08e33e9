"""How Great Expectations' Data Docs look here: its own renderers, with pages that load nothing from elsewhere.

Its own pages fetch styles, scripts and a logo from seven hosts, show an empty list without them, and write values of
the data into the page as they are. Here a page has all it needs in it, no script, and every value escaped.
"""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from great_expectations.render import (
    RenderedBootstrapTableContent,
    RenderedStringTemplateContent,
    RenderedTableContent,
)
from great_expectations.render.renderer import SiteIndexPageRenderer, ValidationResultsPageRenderer
from great_expectations.render.renderer.content_block import ValidationResultsTableContentBlockRenderer
from great_expectations.render.view import DefaultJinjaPageView
from jinja2 import ChoiceLoader, FileSystemLoader, pass_context

from tasks.validation.docs.results import is_renderable

TEMPLATES = Path(__file__).parent / "templates"
# What Great Expectations' renderers leave empty where a value is missing.
_NOTHING = "--"


class PageView(DefaultJinjaPageView):  # type: ignore[misc]  # it ships no types
    """A page that stands alone: our templates before those of Great Expectations, texts of the data escaped."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.env.loader = ChoiceLoader([FileSystemLoader(TEMPLATES), self.env.loader])

    @pass_context
    def render_content_block(self, jinja_context: Any, content_block: Any, *args: Any, **kwargs: Any) -> Any:
        """A block as HTML."""
        return super().render_content_block(jinja_context, _escaped(content_block), *args, **kwargs)


class IndexView(PageView):
    """The page that lists the others."""

    _template = "index_page.j2"


class ResultsTable(ValidationResultsTableContentBlockRenderer):  # type: ignore[misc]  # it ships no types
    """Results of expectations, each with its severity."""

    @classmethod
    def _process_content_block(cls, content_block: Any, has_failed_evr: Any, render_object: Any = None) -> None:
        super()._process_content_block(content_block, has_failed_evr, render_object)
        content_block.header_row.append("Severity")

    @classmethod
    def _get_content_block_fn(cls, expectation_type: str, expectation_config: Any = None) -> Any:
        if not is_renderable(expectation_config):
            return cls._get_missing_evr_content_block_fn()
        rows_of = super()._get_content_block_fn(expectation_type, expectation_config)

        def rows(*args: Any, **kwargs: Any) -> Any:
            return [_completed(row, kwargs["result"]) for row in rows_of(*args, **kwargs)]

        return rows

    @classmethod
    def _get_missing_evr_content_block_fn(cls) -> Any:
        """What stands for an expectation that Great Expectations can't draw, where its own stand-in fails too."""

        def rows(result: Any, **_: Any) -> Any:
            config = result.expectation_config
            status = cls._diagnostic_status_icon_renderer(result=result)
            return [_completed([status, f"{config.type} {config.kwargs}", _NOTHING], result)]

        return rows


class ResultsPage(ValidationResultsPageRenderer):  # type: ignore[misc]  # it ships no types
    """What the expectations found in one file, below what became of the file."""

    def __init__(self, **options: Any) -> None:
        table = {"module_name": __name__, "class_name": ResultsTable.__name__}
        section = {"class_name": "ValidationResultsColumnSectionRenderer", "table_renderer": table}
        super().__init__(column_section_renderer=section, **options)

    def render(self, validation_results: Any, suite_parameters: Any = None) -> Any:
        """The page of one file."""
        page = super().render(validation_results, suite_parameters)
        overview = page.sections[0].content_blocks
        # Below the heading; the table that Great Expectations folds away says no more than ours.
        page.sections[0].content_blocks = [overview[0], _facts(validation_results.meta["batch_spec"]), overview[1]]
        page.page_title = validation_results.meta["batch_spec"]["data_asset_name"]
        return page


class IndexPage(SiteIndexPageRenderer):  # type: ignore[misc]  # it ships no types
    """All files, newest first."""

    @classmethod
    def _generate_validation_results_link_table(cls, index_links_dict: Any) -> Any:
        links = sorted(
            index_links_dict.get("validations_links", []), key=lambda one: one["batch_spec"]["Number"], reverse=True
        )
        columns = [
            {"field": "success", "title": ""},
            {"field": "file", "title": "File", "link": True},
            {"field": "Validated", "title": "Validated"},
            {"field": "Verdict", "title": "Verdict"},
            {"field": "Failed", "title": "Failed expectations"},
            {"field": "suite", "title": "Suite"},
        ]
        rows = [
            {
                **one["batch_spec"],
                "success": cls._render_validation_success_cell(one["validation_success"]),
                "file": one["batch_spec"]["data_asset_name"],
                "suite": cls._render_expectation_suite_cell(
                    one["expectation_suite_name"], one["expectation_suite_filepath"]
                ),
                "_table_row_link_path": one["filepath"],
            }
            for one in links
        ]
        return RenderedBootstrapTableContent(table_columns=columns, table_data=rows)


def _escaped(block: Any) -> Any:
    """Texts that stand by themselves, escaped; parts that render themselves as they are."""
    if isinstance(block, list):
        return [one if isinstance(one, dict) else html.escape(str(one)) for one in block]
    return html.escape(block) if isinstance(block, str) else block


def _completed(row: list[Any], result: Any) -> list[Any]:
    """A row of results with its severity, a warning marked as one, and what was observed where that is left out."""
    observed, severity = result.result.get("observed_value"), result.expectation_config.meta["severity"]
    status, *rest = [str(observed) if cell == _NOTHING and observed is not None else cell for cell in row]
    if severity == "warning" and not result.success:
        status = _styled("", "i", "fas", "fa-exclamation-triangle", "text-warning")
    return [status, *rest, _styled(severity, "span", *(["text-warning"] if severity == "warning" else []))]


def _styled(text: str, tag: str, *classes: str) -> Any:
    styling = {"params": {"text": {"tag": tag, "classes": list(classes)}}}
    return RenderedStringTemplateContent(
        string_template={"template": "$text", "params": {"text": text}, "styling": styling}
    )


def _facts(spec: dict[str, Any]) -> Any:
    shown = [name for name in ("Verdict", "Validated", "Failed", "Notes", "Number", "Content (SHA-256)") if spec[name]]
    rows = [[name, _styled(str(spec[name]), "span")] for name in shown]
    return RenderedTableContent(table=rows, styling={"classes": ["col-12"], "body": {"classes": ["table", "table-sm"]}})
