"""Charts and pages as SVG and HTML that escape everything. They decide nothing."""
