/** The style sheets of pages. */
import page from "./_style.css" with { type: "text" };
import timeline from "./_timeline_style.css" with { type: "text" };

/** The look that all pages share. */
export const PAGE_STYLE: string = page;

/** That of timelines, on top of it. */
export const TIMELINE_STYLE: string = timeline;
