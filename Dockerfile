# One image for the pages, the worker and the harvest. It runs without root and listens on nothing
# but what its command says.
#
# torch comes from the package index in use, which on Linux means the CUDA build; it computes on the
# CPU as well. For the CPU build, gigabytes smaller, give the address of PyTorch's CPU index:
#   docker build --build-arg TORCH_INDEX_URL=ADDRESS .
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
ARG TORCH_INDEX_URL=
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/featurescope
ENV PATH=/opt/featurescope/bin:$PATH
WORKDIR /src
COPY pyproject.toml constraints.txt ./
RUN pip install --quiet --constraint constraints.txt \
      ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} torch
COPY . .
RUN pip install --quiet --constraint constraints.txt . && featurescope version

FROM python:${PYTHON} AS run
RUN useradd --create-home --user-group --uid 10001 featurescope \
 && install --directory --owner=featurescope --group=featurescope /data /models
COPY --from=build /opt/featurescope /opt/featurescope
ENV PATH=/opt/featurescope/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FEATURESCOPE_HOME=/data
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=6 \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["featurescope"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000", "--allow-network"]
