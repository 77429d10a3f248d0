"""One thin module a framework, imported only on request: `from alb_mixup.integrations.torch import ...`."""
