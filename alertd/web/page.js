// Live refresh comes with the pages.
